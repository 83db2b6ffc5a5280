//! The diagnostics by name, and what is said of one to somebody who asks.

use std::fmt::Write;

use super::diagnostic::{Code, Severity};
use super::suggest::suggest;

impl Code {
    /// The code of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// The code whose name was probably meant.
    pub fn near(name: &str) -> Option<Self> {
        suggest(name, Self::ALL.iter().map(|code| code.name())).and_then(Self::named)
    }

    /// What `--explain` prints.
    pub fn explain(self) -> String {
        let word = match self.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!("{word}[{}]: {}\n\n{}\n{}\n", self.name(), self.about(), self.explanation(), self.weight())
    }

    /// What it does to a gateway, and what can be done about it besides mending it.
    fn weight(self) -> String {
        match self.severity() {
            Severity::Error => "This is an error: `gateway run` does not start with it, and a reload keeps what was in force.".to_owned(),
            Severity::Warning => format!(
                "This is a warning. If it is meant, say so beside it, with the reason:\n\n    # gateway: allow({}) why it is right here\n\n`--deny {}` makes it an error, `--allow {}` hides it in a whole run.",
                self.name(),
                self.name(),
                self.name()
            ),
        }
    }

    /// One line for each code.
    pub fn list() -> String {
        let width = Self::ALL.iter().map(|code| code.name().len()).max().unwrap_or(0);
        let mut out = String::new();
        for (severity, title) in [(Severity::Error, "Errors"), (Severity::Warning, "Warnings")] {
            let _ = writeln!(out, "{}{title}:", if out.is_empty() { "" } else { "\n" });
            for code in Self::ALL.iter().filter(|code| code.severity() == severity) {
                let _ = writeln!(out, "  {:width$}  {}", code.name(), code.about());
            }
        }
        out
    }
}
