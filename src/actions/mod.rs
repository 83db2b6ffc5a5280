//! How the steps of a plan are carried out, one file an action.
//!
//! What only changes the message (`AddHeader`, `ReplaceRecipient`, …) is done by the time the plan stands and has no file here.

pub mod smtp_relay;
