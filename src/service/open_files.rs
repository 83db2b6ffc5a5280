//! How many files the process may open, and how many connections that is.

use crate::config::Limits;
use crate::limits::CONNECTION_FILES_PERCENT;
use crate::telemetry::{Event, Log};

/// The limits, with no more connections than there may be files for.
pub(super) fn within(files: Option<u64>, limits: Limits, log: &Log) -> Limits {
    let most =
        files.map_or(usize::MAX, |files| usize::try_from(files.saturating_mul(CONNECTION_FILES_PERCENT) / 100).unwrap_or(usize::MAX));
    if limits.connections <= most {
        return limits;
    }
    let detail = format!(
        "the system allows {} open files, so there are {most} connections and not {}: raise the limit (LimitNOFILE= of the unit, ulimit -n)",
        files.unwrap_or_default(),
        limits.connections
    );
    log.emit(&Event::Problem { what: "accept", detail: &detail });
    Limits { connections: most, ..limits }
}

/// Every connection is a file descriptor; the soft limit of most systems is 1024. Returns what is allowed.
pub(super) fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, connections beyond the limit wait in the backlog.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current
}
