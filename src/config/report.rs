//! Everything that was found in a run: what is asked to be checked, how much each kind counts, and what is shown of very much.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;

use super::diagnostic::{Code, Diagnostic, Severity, Sink};
use super::source::Source;
use crate::limits;

/// What is checked, and how much each kind counts.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Warnings count as errors.
    pub strict: bool,
    /// These count as errors.
    pub deny: BTreeSet<Code>,
    /// Warnings of these kinds are not shown; errors of them are.
    pub allow: BTreeSet<Code>,
    /// Also what another system would not take.
    pub compat: Option<Compat>,
    /// The time that certificates' dates are compared with; `None`: now.
    pub now: Option<OffsetDateTime>,
}

/// Systems to be compatible with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compat {
    /// Amazon SES Mail Manager.
    MailManager,
}

/// Everything that was found, sorted by file and place.
#[derive(Debug, Default)]
pub struct Report {
    /// The mistakes; of very many the first, errors before warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Number of files that were looked at.
    pub files_checked: usize,
    /// Errors and warnings that there was no room for.
    left_out: (usize, usize),
    /// Files with secrets, as they are on disk; their diagnostics have a text without.
    pub(super) originals: BTreeMap<PathBuf, Arc<Source>>,
}

impl Report {
    /// Number of errors.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error).saturating_add(self.left_out.0)
    }

    /// Number of warnings.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning).saturating_add(self.left_out.1)
    }

    /// Number of mistakes that are counted and not in [`Report::diagnostics`].
    pub fn left_out(&self) -> usize {
        self.left_out.0.saturating_add(self.left_out.1)
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }

    /// Of files whose comments may allow what others would find: an allowance without use is no mistake here.
    pub(crate) fn new(sinks: impl IntoIterator<Item = Sink>) -> Self {
        Self::of(sinks.into_iter().collect(), false)
    }

    /// Of files that everything was asked about.
    pub(crate) fn whole(sinks: impl IntoIterator<Item = Sink>) -> Self {
        let sinks: Vec<Sink> = sinks.into_iter().collect();
        // Behind an error much is not looked at, so nothing can be said of what is allowed there.
        let whole = !sinks.iter().any(Sink::has_errors);
        Self::of(sinks, whole)
    }

    fn of(sinks: Vec<Sink>, whole: bool) -> Self {
        let originals = sinks.iter().filter(|sink| sink.concealed().is_some()).map(Sink::source);
        let originals = originals.map(|source| (source.path.clone(), source)).collect();
        let concealed: BTreeMap<PathBuf, Arc<Source>> =
            sinks.iter().filter_map(|sink| sink.concealed().map(|source| (source.path.clone(), source))).collect();
        let mut by_file: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
        for sink in sinks {
            by_file.entry(sink.source().path.clone()).or_default().extend(sink.into_diagnostics(whole));
        }
        let files_checked = by_file.len();
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for (_, mut found) in by_file {
            found.sort_by_key(|d| (d.span.start, d.code));
            diagnostics.append(&mut found);
        }
        if !concealed.is_empty() {
            let sources =
                diagnostics.iter_mut().flat_map(|d| std::iter::once(&mut d.source).chain(d.notes.iter_mut().map(|note| &mut note.source)));
            for source in sources {
                if let Some(without) = concealed.get(&source.path) {
                    *source = Arc::clone(without);
                }
            }
        }
        let mut report = Self { diagnostics, files_checked, left_out: (0, 0), originals };
        report.shorten();
        report
    }

    /// Raises and drops by what was asked for.
    pub(crate) fn level(mut self, options: &Options) -> Self {
        self.diagnostics.retain(|d| d.severity == Severity::Error || !options.allow.contains(&d.code));
        for diagnostic in &mut self.diagnostics {
            if options.strict || options.deny.contains(&diagnostic.code) {
                diagnostic.severity = Severity::Error;
            }
        }
        if options.strict {
            self.left_out = (self.left_out(), 0);
        }
        self
    }

    /// Lets go of what nobody would read.
    fn shorten(&mut self) {
        let most = limits::DIAGNOSTICS_MAX;
        if self.diagnostics.len() <= most {
            return;
        }
        let (errors, warnings) = (self.errors(), self.warnings());
        let mut room = most;
        let mut take = |diagnostic: &Diagnostic, severity: Severity| {
            let taken = diagnostic.severity == severity && room > 0;
            room = room.saturating_sub(usize::from(taken));
            taken
        };
        let kept: Vec<bool> = self.diagnostics.iter().map(|d| take(d, Severity::Error)).collect();
        let mut kept = kept.into_iter();
        self.diagnostics.retain(|d| kept.next().unwrap_or(false) || take(d, Severity::Warning));
        self.left_out = (errors.saturating_sub(self.count(Severity::Error)), warnings.saturating_sub(self.count(Severity::Warning)));
    }
}
