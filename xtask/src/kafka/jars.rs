//! Apache Kafka itself, from Maven Central, fetched once into a cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, cache};

const KAFKA_VERSION: &str = "4.1.0";
/// The broker, the tool that formats its storage, and what makes its errors readable.
const ARTIFACTS: [[&str; 3]; 3] = [
    ["org.apache.kafka", "kafka_2.13", KAFKA_VERSION],
    ["org.apache.kafka", "kafka-tools", KAFKA_VERSION],
    ["org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"],
];

/// The folder that holds the broker's jars.
pub(super) fn folder() -> Result<PathBuf, Failure> {
    cache::folder(&format!("kafka-{KAFKA_VERSION}"), fetch)
}

fn fetch(folder: &Path) -> Result<(), Failure> {
    // The description does not belong among the jars.
    let work = tempfile::tempdir().map_err(Failure::io("make a folder for Maven"))?;
    fs::write(work.path().join("pom.xml"), pom()).map_err(Failure::io("write pom.xml"))?;
    let output = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "dependency:copy-dependencies"])
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .arg("-DincludeScope=runtime")
        .current_dir(work.path())
        .output()
        .map_err(Failure::io("start mvn (Maven); ./dev test installs it"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Err(Failure::Unmet(format!("Maven cannot fetch Apache Kafka: {said}")))
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
