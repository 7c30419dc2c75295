//! Apache Kafka itself, from Maven Central, fetched once into a cache.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

const KAFKA_VERSION: &str = "4.1.0";
/// The broker, the tool that formats its storage, and what makes its errors readable.
const ARTIFACTS: [[&str; 3]; 3] = [
    ["org.apache.kafka", "kafka_2.13", KAFKA_VERSION],
    ["org.apache.kafka", "kafka-tools", KAFKA_VERSION],
    ["org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"],
];

/// The folder that holds the broker's jars.
pub(super) fn folder() -> Result<PathBuf, Failure> {
    let folder = cache()?.join(format!("kafka-{KAFKA_VERSION}"));
    if !folder.is_dir() {
        fetch(&folder)?;
    }
    Ok(folder)
}

/// `RINGWATCH_CACHE`, else `~/.cache/ringwatch`.
fn cache() -> Result<PathBuf, Failure> {
    let named = env::var_os("RINGWATCH_CACHE").map(PathBuf::from);
    named.or_else(|| env::home_dir().map(|home| home.join(".cache/ringwatch"))).ok_or_else(|| {
        Failure::Unmet("no folder for Apache Kafka: set RINGWATCH_CACHE or HOME".to_owned())
    })
}

/// Fetches beside `folder` and renames, so that a folder that exists is whole.
fn fetch(folder: &Path) -> Result<(), Failure> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(Failure::io(format!("make {}", parent.display())))?;
    let partial = tempfile::tempdir_in(parent)
        .map_err(Failure::io(format!("write into {}", parent.display())))?;
    fs::write(partial.path().join("pom.xml"), pom()).map_err(Failure::io("write pom.xml"))?;
    let output = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "dependency:copy-dependencies"])
        .args(["-DoutputDirectory=jars", "-DincludeScope=runtime"])
        .current_dir(partial.path())
        .output()
        .map_err(Failure::io("start mvn (Maven); ./dev test installs it"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        return Err(Failure::Unmet(format!("Maven cannot fetch Apache Kafka: {said}")));
    }
    match fs::rename(partial.path().join("jars"), folder) {
        // Another process was faster; what it fetched is the same.
        Err(_) if folder.is_dir() => Ok(()),
        other => other.map_err(Failure::io(format!("write {}", folder.display()))),
    }
}

fn pom() -> String {
    let dependency = |[group, artifact, version]: [&str; 3]| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>ringwatch</groupId><artifactId>broker</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{}</dependencies></project>",
        ARTIFACTS.map(dependency).concat()
    )
}
