//! How the demo tells what it does: step by step, calmly, on stdout for a person.

use std::io::IsTerminal;

use clap::builder::styling::{AnsiColor, Style};

use crate::exit::Failure;
use crate::output::{self, Output};

/// The teller.
pub(super) struct Story {
    is_told: bool,
    has_colour: bool,
    step: u32,
}

impl Story {
    /// A story for a person; machine output gets the last object alone.
    pub(super) fn new(output: Output) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let has_colour = std::io::stdout().is_terminal() && !no_colour;
        Story { is_told: output.is_for_people(), has_colour, step: 0 }
    }

    /// The headline, and an empty line.
    pub(super) fn title(&self, text: &str) -> Result<(), Failure> {
        self.tell(&format!("{}\n\n", self.styled(Style::new().bold(), text)))
    }

    /// A numbered step: what is done, in one line.
    pub(super) fn step(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        self.step += 1;
        let number = self.styled(Style::new().dimmed(), &self.step.to_string());
        let name = self.styled(Style::new().bold().fg_color(Some(AnsiColor::Cyan.into())), &format!("{name:<9}"));
        self.tell(&format!(" {number}  {name} {text}"))
    }

    /// What came of a step, under it.
    pub(super) fn detail(&self, text: &str) -> Result<(), Failure> {
        self.tell(&text.lines().map(|line| format!("              {line}\n")).collect::<String>())
    }

    /// A block of its own: a table.
    pub(super) fn block(&self, text: &str) -> Result<(), Failure> {
        let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
        self.tell(&format!("\n{lines}\n"))
    }

    /// A plain line.
    pub(super) fn line(&self, text: &str) -> Result<(), Failure> {
        self.tell(text)
    }

    /// Text that stands out.
    pub(super) fn strong(&self, text: &str) -> String {
        self.styled(Style::new().bold(), text)
    }

    fn tell(&self, text: &str) -> Result<(), Failure> {
        if self.is_told { output::text(text) } else { Ok(()) }
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.has_colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
