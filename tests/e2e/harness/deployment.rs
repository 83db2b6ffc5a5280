//! A deployment in a folder of its own: gateway.yaml, a policy, a rule set and whatever a test adds.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::Gateway;
use crate::common::dns::StubDns;
use crate::common::temporary_folder;

/// A folder with a deployment. Without more words it takes mail for acme.example and acme.org and gives it to the relay `next`.
pub struct Deployment {
    folder: Arc<tempfile::TempDir>,
    top: String,
    endpoint: String,
    relays: String,
    variables: Vec<(String, String)>,
    resolver: String,
    endpoints: String,
    before: Option<String>,
}

/// Without more words a gateway asks this server, for which no name exists: no test asks the world.
static NOTHING: LazyLock<StubDns> = LazyLock::new(StubDns::launch);

const RULES: &str = "rules:\n  - name: all\n    actions:\n      - SMTPRelay: { relay: next }\n";

impl Deployment {
    /// An endpoint that delivers `inline` or by `queue`.
    pub fn new(delivery: &str) -> Self {
        let deployment = Self {
            folder: Arc::new(temporary_folder()),
            top: "domains: [acme.example, acme.org]\n".to_owned(),
            endpoint: format!("delivery: {delivery}, "),
            relays: String::new(),
            variables: Vec::new(),
            resolver: servers(NOTHING.address()),
            endpoints: String::new(),
            before: None,
        };
        deployment.file("policies/edge.yaml", "default: allow\n").file("rules/inbound.yaml", RULES)
    }

    /// Instead of the two domains, and what else stands on the top level of gateway.yaml.
    pub fn top(mut self, yaml: &str) -> Self {
        self.top = format!("{yaml}\n");
        self
    }

    /// The DNS server that the gateway asks.
    pub fn names(self, dns: &StubDns) -> Self {
        self.resolver(&servers(dns.address()))
    }

    /// What stands in `resolver:`, in flow style.
    pub fn resolver(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.resolver);
        self
    }

    /// How long one of its questions may take.
    pub fn names_within(mut self, timeout: &str) -> Self {
        write!(self.resolver, ", timeout: {timeout}").unwrap();
        self
    }

    #[allow(dead_code, reason = "tests/attacks has two")]
    /// A second endpoint, on an address of its own, with these keys in flow style.
    pub fn another_endpoint(mut self, name: &str, yaml: &str) -> Self {
        writeln!(self.endpoints, "  {name}: {{ listen: [\"127.0.0.2:0\"], {yaml} }}").unwrap();
        self
    }

    /// More keys of the endpoint `mx`, in flow style.
    pub fn endpoint(mut self, yaml: &str) -> Self {
        write!(self.endpoint, "{yaml}, ").unwrap();
        self
    }

    /// A relay that tries again after a second.
    pub fn relay(self, name: &str, address: SocketAddr) -> Self {
        self.relay_with(name, address, "")
    }

    /// The same with more keys, in flow style.
    pub fn relay_with(self, name: &str, address: SocketAddr, yaml: &str) -> Self {
        let (host, port) = (address.ip(), address.port());
        self.relay_at(name, &format!("host: {host}, port: {port}"), yaml)
    }

    /// The same where the keys say where it is.
    pub fn relay_at(mut self, name: &str, place: &str, yaml: &str) -> Self {
        let retry = if yaml.contains("retry:") { "" } else { "retry: { first: 1s, factor: 1, longest: 1s }, " };
        writeln!(self.relays, "  {name}: {{ {place}, {retry}{yaml} }}").unwrap();
        self
    }

    /// The rule set.
    pub fn rules(self, yaml: &str) -> Self {
        self.file("rules/inbound.yaml", yaml)
    }

    /// The traffic policy.
    pub fn policy(self, yaml: &str) -> Self {
        self.file("policies/edge.yaml", yaml)
    }

    /// A file beside gateway.yaml.
    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    /// A variable of the gateway's environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    #[allow(dead_code, reason = "tests/attacks has no use for it")]
    /// Commands for the shell that becomes the gateway.
    pub fn before(mut self, commands: &str) -> Self {
        self.before = Some(commands.to_owned());
        self
    }

    /// Writes a file while the gateway runs: whole or not at all, as editors and deployment tools do.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        let new = path.with_extension("new~");
        std::fs::create_dir_all(path.parent().expect("it is below the folder")).unwrap();
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// A path below the folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What gateway.yaml says.
    pub fn yaml(&self) -> String {
        self.yaml_listening("127.0.0.1:0")
    }

    /// The same with an address to listen on.
    pub fn yaml_listening(&self, listen: &str) -> String {
        let Self { top, endpoint, endpoints, relays, resolver, .. } = self;
        let relays = if relays.is_empty() { String::new() } else { format!("relays:\n{relays}") };
        format!(
            "hostname: mx1.acme.example\n{top}endpoints:\n  mx: {{ listen: [\"{listen}\"], policy: edge, rules: inbound, {endpoint}}}\n{endpoints}\
             {relays}spool: {{ path: spool }}\nresolver: {{ {resolver} }}\n"
        )
    }

    /// Starts the gateway. Started again after an end, it goes on with the same spool.
    pub fn start(&self) -> Gateway {
        self.start_listening("127.0.0.1:0")
    }

    /// The same with an address to listen on.
    pub fn start_listening(&self, listen: &str) -> Gateway {
        self.write("gateway.yaml", &self.yaml_listening(listen));
        Gateway::start(Arc::clone(&self.folder), &self.variables, self.before.as_deref())
    }

    /// What the spool takes on disk: each file with its size. The lock and the socket are no mail.
    pub fn spooled_files(&self) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path("spool")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else if !["lock", "control.sock"].iter().any(|name| entry.file_name() == *name) {
                    files.push((entry.path(), metadata.len()));
                }
            }
        }
        files.sort();
        files
    }
}

/// In `resolver:`, this server alone.
fn servers(address: SocketAddr) -> String {
    format!("servers: [\"{address}\"]")
}
