//! No memory of the process reaches a disk: it holds passwords, tokens and keys.

/// Forbids core dumps, also those that the system pipes to a program, which the limit on their size does not concern.
pub(super) fn forbid() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Whoever may change neither is left with the settings of the system.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit};

    #[test]
    fn afterwards_there_is_no_core_dump() {
        super::forbid();
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        #[cfg(target_os = "linux")]
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
    }
}
