//! The `squall` program.

/// What a visitor needs is allocated and freed all the time, in a few sizes: this takes half of what the system's allocator takes for it,
/// and gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    squall::commands::main()
}
