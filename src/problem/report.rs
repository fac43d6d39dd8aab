//! Every problem of every file, for people and for editors.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet, normalize_untrusted_str};

use super::{Problem, SourceFile};

/// What is wrong with the files of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Report {
    findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    /// The file could not be read at all.
    Unreadable { path: PathBuf, why: String },
    /// It could, and this is wrong with it.
    Wrong { file: SourceFile, problems: Vec<Problem> },
}

impl SourceFile {
    /// Reads a file; where it cannot be read, that is the report.
    ///
    /// # Errors
    /// As [`SourceFile::open`].
    pub fn load(path: &Path) -> Result<Self, Report> {
        Self::open(path).map_err(|error| Report::unreadable(path, &error))
    }
}

impl Report {
    /// The report on a file that cannot be read.
    #[must_use]
    pub fn unreadable(path: &Path, why: &io::Error) -> Self {
        Self { findings: vec![Finding::Unreadable { path: path.to_owned(), why: plain(why) }] }
    }

    /// The report on one file.
    #[must_use]
    pub fn of(file: SourceFile, problems: Vec<Problem>) -> Self {
        let mut report = Self::default();
        report.add(file, problems);
        report
    }

    /// Adds the problems of a file, in order of their place; without problems nothing is added.
    pub fn add(&mut self, file: SourceFile, mut problems: Vec<Problem>) {
        if !problems.is_empty() {
            problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
            self.findings.push(Finding::Wrong { file, problems });
        }
    }

    /// Adds the findings of another report.
    pub fn merge(&mut self, other: Self) {
        self.findings.extend(other.findings);
    }

    /// How many problems there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let count = |finding: &Finding| match finding {
            Finding::Unreadable { .. } => 1,
            Finding::Wrong { problems, .. } => problems.len(),
        };
        self.findings.iter().map(count).sum()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Every problem with its place, the offending line and the way out; ends with a newline.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let blocks: Vec<String> =
            self.findings.iter().flat_map(|finding| finding.blocks(&renderer)).collect();
        blocks.iter().map(|block| format!("{block}\n")).collect::<Vec<_>>().join("\n")
    }

    /// Every problem on one line, `file:line:column: message (hint)`, as editors read it.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.findings.iter().flat_map(Finding::lines).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl Finding {
    fn blocks(&self, renderer: &Renderer) -> Vec<String> {
        match self {
            Self::Unreadable { path, why } => {
                let title = Level::ERROR.primary_title(format!("cannot read the file: {why}"));
                let group = title.element(Origin::path(shown(path)));
                vec![renderer.render(&[group])]
            }
            Self::Wrong { file, problems } => {
                problems.iter().map(|problem| block(file, problem, renderer)).collect()
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        match self {
            Self::Unreadable { path, why } => {
                vec![format!("{}: cannot read the file: {}", shown(path), normalize_untrusted_str(why))]
            }
            Self::Wrong { file, problems } => problems.iter().map(|problem| line(file, problem)).collect(),
        }
    }
}

fn block(file: &SourceFile, problem: &Problem, renderer: &Renderer) -> String {
    let underlined = AnnotationKind::Primary.span(file.underlined(&problem.span));
    let snippet = Snippet::source(&file.text).path(shown(&file.path)).annotation(underlined);
    let group = Level::ERROR.primary_title(&problem.message).element(snippet);
    let hint = problem.hint.as_deref().map(normalize_untrusted_str);
    let group = group.elements(hint.map(|hint| Level::HELP.message(hint)));
    renderer.render(&[group])
}

fn line(file: &SourceFile, problem: &Problem) -> String {
    let (line, column) = file.position(problem.span.start);
    let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
    let text = normalize_untrusted_str(&format!("{}{hint}", problem.message));
    format!("{}:{line}:{column}: {text}", shown(&file.path))
}

fn shown(path: &Path) -> String {
    normalize_untrusted_str(&path.display().to_string())
}

/// An I/O error without the number that Rust appends: the text says it.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(text: &str) -> SourceFile {
        SourceFile { path: "day.toml".into(), text: text.to_owned() }
    }

    fn problem(span: std::ops::Range<usize>, message: &str, hint: Option<&str>) -> Problem {
        Problem { span, message: message.to_owned(), hint: hint.map(str::to_owned) }
    }

    #[test]
    fn shows_line_caret_and_hint_of_every_problem_in_order_of_place() {
        let problems = vec![
            problem(19..24, "unknown key `volum`", Some("did you mean `volume`?")),
            problem(7..13, "bad name", None),
        ];
        let report = Report::of(file("name = \"Ää\"\n\n    volum = 3\n"), problems);
        assert_eq!(report.len(), 2);
        assert_eq!(
            report.render(false),
            "\
error: bad name
 --> day.toml:1:8
  |
1 | name = \"Ää\"
  |        ^^^^

error: unknown key `volum`
 --> day.toml:3:5
  |
3 |     volum = 3
  |     ^^^^^
  |
  = help: did you mean `volume`?
"
        );
        assert_eq!(
            report.lines(),
            ["day.toml:1:8: bad name", "day.toml:3:5: unknown key `volum` (did you mean `volume`?)"]
        );
    }

    #[test]
    fn colour_is_an_option() {
        let report = Report::of(file("x = 1"), vec![problem(0..1, "unknown key `x`", None)]);
        assert!(report.render(true).contains("\u{1b}["));
        assert!(!report.render(false).contains('\u{1b}'));
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        let text = "\"\u{1b}[2J\" = 1";
        let report = Report::of(file(text), vec![problem(0..6, text, Some(text))]);
        assert!(!report.render(false).contains('\u{1b}'));
        assert!(!report.to_string().contains('\u{1b}'));
    }

    #[test]
    fn an_unreadable_file_is_a_report() {
        let error = io::Error::from_raw_os_error(2);
        let report = Report::unreadable(Path::new("gone.toml"), &error);
        assert_eq!(report.len(), 1);
        assert_eq!(report.to_string(), "gone.toml: cannot read the file: No such file or directory");
        assert!(report.render(false).contains("--> gone.toml\n"), "{}", report.render(false));
    }

    proptest! {
        #[test]
        fn any_text_and_any_place_can_be_shown(text in "(\\PC|[\n\r\t\u{0}\u{1b}]){0,60}", from in 0..80usize, length in 0..80usize) {
            let report = Report::of(file(&text), vec![problem(from..from + length, "message", Some("hint"))]);
            prop_assert!(report.render(false).contains("message"));
            prop_assert_eq!(report.lines().len(), 1);
        }
    }
}
