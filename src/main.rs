//! The `squall` program.

fn main() -> std::process::ExitCode {
    squall::commands::main()
}
