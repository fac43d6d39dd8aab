//! `squall fit`.

use std::fs;
use std::path::Path;

use super::cli::FitArgs;
use super::exit::{Exit, Failure};
use super::{Colors, print};
use crate::fit::{Profiles, Question, Series, account, moment};
use crate::problem::SourceFile;
use crate::report::fit as format;

/// Fits a series, says what was found, and writes the scenario where it was told to.
///
/// # Errors
/// [`Exit::Input`] with every problem of the files, or where the series cannot be fitted.
pub(super) fn fit(args: &FitArgs, colors: Colors) -> Result<Exit, Failure> {
    let read = |path: &Path| read(path, args.log, colors);
    let series = read(&args.series)?;
    let control = args.control.as_deref().map(read).transpose()?;
    let behind = args.lag_behind.as_deref().map(read).transpose()?;
    let events = args.event.iter().map(|text| second(text)).collect::<Result<Vec<i64>, Failure>>()?;
    let name = name(&args.series);
    let question = Question {
        name: name.clone(),
        series: &series,
        events,
        control: control.as_ref(),
        behind: behind.as_ref(),
        profiles: args.profiles.clone().map_or_else(Profiles::default, Profiles),
        seed: args.seed,
    };
    let found = account(&question)
        .map_err(|why| Failure::new(Exit::Input, format!("error: {}: {why}", args.series.display())))?;
    print::out(&format::text(&name, &series, &found))?;
    match &args.out {
        Some(path) => {
            fs::write(path, &found.scenario.text)
                .map_err(|error| Failure::trouble(format!("writing {}", path.display()), error))?;
            print::note(&format!("wrote {}", path.display()));
            let profiles = path.parent().unwrap_or(Path::new("")).join(&question.profiles.0);
            if !profiles.join("clients.toml").exists() {
                print::note(&format!(
                    "{} holds no profiles, and the scenario names them there: --profiles DIR says where they are, as seen from it",
                    profiles.display()
                ));
            }
        }
        None => print::note("the scenario was not written: --out FILE says where"),
    }
    Ok(Exit::Done)
}

fn read(path: &Path, log: bool, colors: Colors) -> Result<Series, Failure> {
    SourceFile::load(path).and_then(|file| Series::read(file, log)).map_err(Failure::input(colors))
}

fn second(text: &str) -> Result<i64, Failure> {
    let hint = "such as 2015-03-31T03:27:53Z, or without a zone for UTC";
    moment(text)
        .ok_or_else(|| Failure::new(Exit::Input, format!("error: `{text}` is not a moment\n  hint: {hint}")))
}

/// The name of a file as a scenario may have it.
fn name(path: &Path) -> String {
    let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().to_lowercase());
    let kept = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = stem.chars().map(kept).take(48).collect();
    match name.trim_matches('-') {
        "" => "series".to_owned(),
        name => name.to_owned(),
    }
}
