//! The two servers, from their registries, fetched once into the cache.

use std::path::Path;
use std::process::Command;

use crate::{Failure, cache, repository};

const MOTO_VERSION: &str = "5.2.5";
/// The server needs these; the extra `server` would bring three times as much for other services.
const MOTO_NEEDS: [&str; 2] = ["flask==3.1.3", "flask-cors==6.0.5"];
/// The last one for Node 20.
const AZURITE_VERSION: &str = "3.35.0";

/// The S3 of moto, listening on a port of this machine.
pub(super) fn moto(port: u16) -> Result<Command, Failure> {
    let folder = cache::folder(&format!("moto-{MOTO_VERSION}"), |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("moto[s3]=={MOTO_VERSION}"))
            .args(MOTO_NEEDS))
    })?;
    let mut command = Command::new(folder.join("bin/python"));
    command.arg(repository().join("xtask/src/object_store/s3.py")).arg(port.to_string());
    Ok(command)
}

/// The Azure Blob of azurite, listening on a port of this machine, its objects in `folder`.
pub(super) fn azurite(port: u16, folder: &Path) -> Result<Command, Failure> {
    let program = cache::folder(&format!("azurite-{AZURITE_VERSION}"), |folder| {
        run(Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder)
            .arg(format!("azurite@{AZURITE_VERSION}")))
    })?;
    let mut command = Command::new("node");
    command.arg(program.join("node_modules/azurite/dist/src/blob/main.js"));
    command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    command.arg("--location").arg(folder);
    Ok(command)
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(Failure::io(format!("start {program}; ./dev setup installs it")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Unmet(format!("{program} cannot fetch a server of the tests: {said}")))
}
