//! The binary: reads the command line, runs one verb, turns its outcome into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    ringwatch::allocator::bound();
    ringwatch::cli::main()
}
