//! `squall report`.

use super::cli::ReportArgs;
use super::exit::{Exit, Failure};
use super::rehearsal::{envelope, judge};
use super::{Colors, print};

/// Judges a recording again.
///
/// # Errors
/// [`Exit::Input`] where there is no recording, [`Exit::Trouble`] where it cannot be read.
pub(super) fn report(args: &ReportArgs, colors: Colors) -> Result<Exit, Failure> {
    if !args.directory.join("manifest.json").is_file() {
        let message = format!(
            "error: {} is not a run directory: it has no manifest.json\n  hint: `squall run` names the directory it wrote",
            args.directory.display()
        );
        return Err(Failure::new(Exit::Input, message));
    }
    let envelope = envelope(args.envelope.as_deref(), colors)?.map(|(envelope, _)| envelope);
    let (summary, text) = judge(&args.directory, envelope, args.output_format, colors.out)?;
    print::out(&text)?;
    Ok(Exit::Judged(summary.verdict))
}
