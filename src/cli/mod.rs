//! The commands. One file a command; logic that `gateway run` needs does not live here.

/// Runs the command line and says how it went.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
