//! Dispatch over a real spool whose operations can fail, simulated next hops, and a clock that jumps to the next event.

mod combinations;
mod cuts;
mod fairness;
mod faulty;
mod hops;
mod judging;
mod notify;
mod operator;
mod queueing;
mod reports;
mod setting;
mod simulation;
mod state;
mod wordy;

use crate::random::Random;
