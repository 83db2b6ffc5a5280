//! Amazon SES Mail Manager: what its API and CloudFormation say, and what it means here.
//!
//! Pure. [`model`] has the shapes of the service. What its command line prints and what templates hold is read into them, every mistake
//! reported where it stands, and written down as files of ours, with a comment at each thing whose meaning is uncertain or changes.

pub mod export;
pub mod model;
