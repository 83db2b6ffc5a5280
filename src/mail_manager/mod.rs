//! Amazon SES Mail Manager: what its API and CloudFormation say, and what it means here.
//!
//! Pure. [`model`] has the shapes of the service. What its command line prints and what templates hold is read into them, every mistake
//! reported where it stands, and written down as files of ours, with a comment at each thing whose meaning is uncertain or changes.

mod carry;
mod check;
pub mod export;
mod intrinsics;
pub mod model;
mod read;
mod template;
mod yaml;

pub use carry::{Known, MadeFile};

use crate::config::{ForeignFile, Report};

/// What came of an import.
#[derive(Debug)]
pub struct Import {
    /// The files of a deployment, `gateway.yaml` first; none when nothing was found.
    pub files: Vec<MadeFile>,
    /// What could not be carried over, or not whole.
    pub lost: Vec<String>,
    /// What is wrong in what was read.
    pub report: Report,
}

/// Reads files of Mail Manager and makes a deployment of what they hold. What is wrong is left out and reported, with all that hangs on it.
pub fn import(mut files: Vec<ForeignFile>, known: &Known) -> Import {
    let holdings = read::read(&mut files);
    let (made, lost) = if holdings.is_empty() { (Vec::new(), Vec::new()) } else { carry::carry(&holdings, known) };
    Import { files: made, lost, report: Report::new(files.into_iter().map(|file| file.sink)) }
}
