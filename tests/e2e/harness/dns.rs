//! Real DNS servers: NSD with a zone, and Unbound before it, which resolves.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::lines::Lines;
use crate::common::{free_address, temporary_folder, tool};

/// Both of them; they end when this is dropped.
pub struct Resolver {
    processes: [Child; 2],
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Resolver {
    /// Resolves names in the zone `mail.example`, whose records (lines of a zone file) are given. Servers of `sick.example` have no zone.
    pub fn start(records: &str) -> Self {
        let folder = temporary_folder();
        let (zone_server, address) = (free_address(), free_address());
        let path = folder.path().display();
        let zone =
            format!("$ORIGIN mail.example.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n{records}\n");
        std::fs::write(folder.path().join("mail.zone"), zone).unwrap();
        let nsd = format!(
            "server:\n  ip-address: {ip}@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{path}\"\n  database: \"\"\n  pidfile: \"\"\n  \
             xfrdfile: \"{path}/xfrd.state\"\n  zonelistfile: \"{path}/zone.list\"\n  xfrdir: \"{path}\"\n\
             remote-control:\n  control-enable: no\n\
             zone:\n  name: \"mail.example\"\n  zonefile: \"mail.zone\"\nzone:\n  name: \"sick.example\"\n  zonefile: \"missing.zone\"\n",
            ip = zone_server.ip(),
            port = zone_server.port(),
        );
        let unbound = format!(
            "server:\n  interface: {ip}\n  port: {port}\n  username: \"\"\n  chroot: \"\"\n  directory: \"{path}\"\n  pidfile: \"\"\n  \
             use-syslog: no\n  logfile: \"\"\n  module-config: \"iterator\"\n  do-not-query-localhost: no\n  num-threads: 1\n\
             remote-control:\n  control-enable: no\n\
             stub-zone:\n  name: \"mail.example\"\n  stub-addr: {zone_server}\nstub-zone:\n  name: \"sick.example\"\n  stub-addr: {zone_server}\n",
            ip = address.ip(),
            port = address.port(),
            zone_server = zone_server.to_string().replace(':', "@"),
        );
        let processes = [("nsd", nsd, "nsd started"), ("unbound", unbound, "start of service")].map(|(name, configuration, ready)| {
            let file = folder.path().join(name);
            std::fs::write(&file, configuration).unwrap();
            start(tool(name).arg("-d").arg("-c").arg(file), ready)
        });
        Self { processes, address, _folder: folder }
    }

    /// Where it resolves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn start(program: &mut Command, ready: &str) -> Child {
    let mut process = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a DNS server starts");
    let said = Lines::follow(process.stderr.take().unwrap());
    said.wait("start of a DNS server", |line| line.contains(ready).then_some(()));
    process
}

impl Drop for Resolver {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // NSD has children that a killed parent would leave behind.
            let _ = Command::new("kill").args(["-s", "TERM", &process.id().to_string()]).status();
            let _ = process.wait();
        }
    }
}
