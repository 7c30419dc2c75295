//! A broker that wants TLS and a login, as large hosts have them: mutual TLS on one port, SASL over
//! TLS on another (PLAIN, SCRAM, OAUTHBEARER), beside the open one for whoever prepares a test.
//!
//! Needs `openssl`. Its tokens of OAUTHBEARER are unsigned: who they name is believed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Broker, Setup, free_ports};
use crate::Failure;

/// Whom PLAIN and SCRAM let in.
pub const USER: &str = "ringwatch";
pub const PASSWORD: &str = "correct-horse-battery";

/// A secured broker, and what its clients need.
#[derive(Debug)]
pub struct Secured {
    pub broker: Broker,
    /// `host:port` of mutual TLS, and of SASL over TLS.
    pub tls: String,
    pub sasl: String,
    security: Security,
}

/// Ports and certificates of a broker that is not yet started.
#[derive(Debug)]
pub(super) struct Security {
    tls_port: u16,
    sasl_port: u16,
    folder: TempDir,
}

impl Secured {
    /// Starts it.
    pub fn start() -> Result<Self, Failure> {
        let security = Security::new()?;
        let broker = Broker::start_on(Setup { security: Some(&security), ..Setup::default() })?;
        let address = |port| format!("127.0.0.1:{port}");
        let (tls, sasl) = (address(security.tls_port), address(security.sasl_port));
        Ok(Self { broker, tls, sasl, security })
    }

    /// A PEM file: `ca.pem`, and for a client `client.pem` and `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.security.folder.path().join(name)
    }
}

impl Security {
    fn new() -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::io("make a folder"))?;
        let [tls_port, sasl_port] = free_ports()?;
        authority(folder.path())?;
        for name in ["broker", "client"] {
            certificate(folder.path(), name)?;
        }
        let read = |name: &str| {
            fs::read_to_string(folder.path().join(name)).map_err(Failure::io("read a certificate"))
        };
        // Kafka takes key and certificate from one file.
        let both = read("broker.key")? + &read("broker.pem")?;
        fs::write(folder.path().join("keystore.pem"), both)
            .map_err(Failure::io("write a key store"))?;
        Ok(Self { tls_port, sasl_port, folder })
    }

    /// Users that the storage is formatted with.
    pub(super) fn format_options() -> [String; 2] {
        let user = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
        ["--add-scram".to_owned(), user]
    }

    /// Further listeners, and further lines of `server.properties`.
    pub(super) fn settings(&self) -> (String, String) {
        let Self { tls_port, sasl_port, folder } = self;
        let listeners = format!(",TLS://127.0.0.1:{tls_port},LOGIN://127.0.0.1:{sasl_port}");
        let (store, authority) = (folder.path().join("keystore.pem"), folder.path().join("ca.pem"));
        let modules = "org.apache.kafka.common.security";
        let lines = [
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,\
             LOGIN:SASL_SSL"
                .to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", store.display()),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", authority.display()),
            "listener.name.tls.ssl.client.auth=required".to_owned(),
            "listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER"
                .to_owned(),
            format!(
                "listener.name.login.plain.sasl.jaas.config={modules}.plain.PlainLoginModule \
                 required user_{USER}=\"{PASSWORD}\";"
            ),
            format!(
                "listener.name.login.scram-sha-512.sasl.jaas.config=\
                 {modules}.scram.ScramLoginModule required;"
            ),
            format!(
                "listener.name.login.oauthbearer.sasl.jaas.config=\
                 {modules}.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"broker\";"
            ),
        ];
        (listeners, lines.join("\n"))
    }
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let doing = "run openssl";
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .map_err(Failure::io(doing))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::Unmet(format!("cannot {doing}: {}", String::from_utf8_lossy(&output.stderr))))
}

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

fn authority(folder: &Path) -> Result<(), Failure> {
    let subject = ["-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign"];
    let files = ["-keyout", "ca.key", "-out", "ca.pem", "-days", "30"];
    openssl(folder, &[&["req", "-x509"][..], &KEY, &files, &subject].concat())
}

/// `<name>.key` and `<name>.pem`, signed by the authority, for this machine.
fn certificate(folder: &Path, name: &str) -> Result<(), Failure> {
    let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
    let (signed, subject) = (format!("{name}.pem"), format!("/CN={name}"));
    let files = ["-keyout", &key, "-out", &request, "-subj", &subject];
    openssl(folder, &[&["req"][..], &KEY, &files].concat())?;
    let extensions = "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
    fs::write(folder.join("extensions"), extensions).map_err(Failure::io("write extensions"))?;
    let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30"];
    let files = ["-in", &request, "-out", &signed, "-extfile", "extensions"];
    openssl(folder, &[&["x509", "-req"][..], &by, &files].concat())
}
