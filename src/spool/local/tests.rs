//! The engine against the conformance suite, against a sick disk, and against crashes at every operation.

mod crash;
mod faults;
mod files;

use std::path::Path;
use std::sync::Arc;

use super::super::conformance::{Engine, NOW, conformance_suite};
use super::io::Disk;
use super::{LocalSpool, OpenReport, Sizes};

/// Sizes at which a few entries fill a segment, get a body file and have states on disk.
const SMALL: Sizes =
    Sizes { inline_bytes_max: 512, segment_bytes: 4096, free_bytes_min: 0, state_memory_bytes_max: 12, content_memory_bytes_max: 1000 };

fn open(path: &Path, disk: Disk) -> (Arc<LocalSpool>, OpenReport) {
    let (spool, report) = LocalSpool::open_on(disk, path, SMALL, || NOW).unwrap();
    (Arc::new(spool), report)
}

struct Local {
    folder: tempfile::TempDir,
    sizes: Sizes,
}

impl Engine for Local {
    type Spool = LocalSpool;
    async fn open(&self) -> Arc<LocalSpool> {
        let (spool, report) = LocalSpool::open_on(Disk::default(), self.folder.path(), self.sizes, || NOW).unwrap();
        assert_eq!((report.damaged, report.torn_bytes, report.orphans), (Vec::new(), 0, 0));
        Arc::new(spool)
    }
}

mod conforms {
    use super::*;
    conformance_suite!(Local { folder: tempfile::tempdir().unwrap(), sizes: Sizes::default() });
}

mod conforms_when_small {
    use super::*;
    conformance_suite!(Local { folder: tempfile::tempdir().unwrap(), sizes: SMALL });
}
