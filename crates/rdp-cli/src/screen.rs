//! Everything on stderr: messages, the progress bar, log lines and errors, without running into each other.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use rdp_elt::Error;

use crate::exit::Failure;
use crate::output::Output;

/// The person's side of a command.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    output: Output,
    quiet: bool,
    bars: MultiProgress,
}

impl Screen {
    /// A screen beside data in this form.
    pub(crate) fn new(output: Output, quiet: bool) -> Self {
        Screen { output, quiet, bars: MultiProgress::new() }
    }

    /// The same screen that says nothing but errors.
    pub(crate) fn to_quiet(&self) -> Self {
        Screen { quiet: true, ..self.clone() }
    }

    /// The form of the data on stdout.
    pub(crate) fn output(&self) -> Output {
        self.output
    }

    /// Where progress bars go; they show themselves only where stderr is a terminal.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        (!self.quiet && io::stderr().is_terminal()).then_some(&self.bars)
    }

    /// Whether colours are welcome on stderr.
    pub(crate) fn has_colour(&self) -> bool {
        io::stderr().is_terminal() && no_colour_is_unset()
    }

    /// Tells the person something, unless they want quiet.
    pub(crate) fn say(&self, message: impl fmt::Display) {
        if !self.quiet {
            self.line(&message.to_string());
        }
    }

    /// The end of a command that has a verdict and was to print why. A verdict that is not good outranks a report that could
    /// not be printed, which is told beside it.
    pub(crate) fn end(&self, printed: Result<(), Failure>, verdict: Result<(), Failure>) -> Result<(), Failure> {
        match (verdict, printed) {
            (Err(verdict), Err(unprinted)) => {
                self.show_failure(&unprinted);
                Err(verdict)
            }
            (verdict, printed) => verdict.and(printed),
        }
    }

    /// Tells why the command did not end well: for a person, or, beside machine output, as one JSON object.
    pub(crate) fn show_failure(&self, failure: &Failure) {
        match failure {
            Failure::Error(error) if self.output.is_for_people() => self.line(&self.report(error)),
            Failure::Error(error) => self.line(&as_json(error)),
            Failure::NotClean => self.say("the audit is not clean: see the findings"),
            Failure::Stopped => self.say("stopped at once; the next start goes on where the landed files end"),
            Failure::Told(_) => {}
        }
    }

    fn report(&self, error: &Error) -> String {
        let theme = match (io::stderr().is_terminal(), no_colour_is_unset()) {
            (true, true) => GraphicalTheme::unicode(),
            (true, false) => GraphicalTheme::unicode_nocolor(),
            (false, _) => GraphicalTheme::none(),
        };
        let mut text = String::new();
        // Whoever reads a log looks for paths: they must stand in one piece.
        let handler =
            GraphicalReportHandler::new_themed(theme).with_width(100).with_wrap_lines(io::stderr().is_terminal());
        match handler.render_report(&mut text, &Report(error)) {
            Ok(()) => text.trim_end().to_owned(),
            Err(fmt::Error) => format!("{error:?}"),
        }
    }

    fn line(&self, text: &str) {
        // Nobody is left to tell where stderr is gone.
        let _ = self.bars.suspend(|| writeln!(io::stderr(), "{text}"));
    }
}

/// For log lines.
impl Write for Screen {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write_all(text))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The library's error as miette draws it: kind, message, causes, help.
#[derive(Debug)]
struct Report<'a>(&'a Error);

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.message())
    }
}

impl StdError for Report<'_> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.0.kind()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help().map(|help| Box::new(help) as _)
    }
}

/// An error for a machine: kind, message, causes, help.
pub(crate) fn error_object(error: &Error) -> serde_json::Value {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    let kind = error.kind().as_str();
    serde_json::json!({ "kind": kind, "message": error.message(), "causes": causes, "help": error.help() })
}

fn as_json(error: &Error) -> String {
    serde_json::json!({ "ok": false, "error": error_object(error) }).to_string()
}

/// <https://no-color.org>: set to anything but nothing.
fn no_colour_is_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
