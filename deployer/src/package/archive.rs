//! Writes the function's zip, and checks a zip that the configuration names.

use std::{
    io::{Cursor, Read as _, Write as _},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, result::ZipResult, write::SimpleFileOptions};

use crate::{config::Architecture, error::Error};

/// The name of the program in the zip that Lambda starts on `provided.al2023`.
pub(super) const BOOTSTRAP: &str = "bootstrap";

/// The start of an ELF header, up to and including `e_machine`, the last field that [`check`] reads.
type ElfStart = [u8; 20];

/// Zips the program: equal programs give equal bytes.
pub(super) fn write(bootstrap: &[u8]) -> Result<Vec<u8>, Error> {
    zipped(bootstrap).map_err(|error| Error::new("failed to zip the function").cause(error))
}

/// The SHA-256 of a zip as Lambda's `CodeSha256` spells it.
pub(crate) fn code_sha256(zip: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(zip))
}

fn zipped(bootstrap: &[u8]) -> ZipResult<Vec<u8>> {
    // The earliest time of the zip format, in 1980. The time of the build would make every zip different.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(BOOTSTRAP, options)?;
    zip.write_all(bootstrap)?;
    Ok(zip.finish()?.into_inner())
}

/// Refuses a zip that Lambda would accept and then fail to start.
pub(super) fn check(path: &Path, zip: &[u8], architecture: Architecture) -> Result<(), Error> {
    let path = path.display();
    let mut zip = ZipArchive::new(Cursor::new(zip)).map_err(|error| {
        Error::new(format!("the package {path} is not a zip"))
            .cause(error)
            .hint("`cargo lambda build --release --output-format zip` makes one")
    })?;
    let mut file = zip.by_name(BOOTSTRAP).map_err(|error| {
        Error::new(format!("the package {path} has no file `{BOOTSTRAP}` that can be read"))
            .cause(error)
            .hint(format!("put the program at the top level of the zip, under the name {BOOTSTRAP}"))
    })?;
    if file.unix_mode().unwrap_or_default() & 0o111 == 0 {
        return Err(Error::new(format!("`{BOOTSTRAP}` in the package {path} is not executable"))
            .hint(format!("run `chmod 755 {BOOTSTRAP}` before you zip it")));
    }
    let mut start = ElfStart::default();
    let problem = match file.read_exact(&mut start) {
        Err(_) => Some("it is not a Linux program"),
        Ok(()) => elf_problem(&start, architecture),
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(Error::new(format!("`{BOOTSTRAP}` in the package {path} does not run on {architecture}"))
            .cause(problem)
            .hint("build it for that architecture, or correct function.architecture")),
    }
}

/// Offsets and numbers from the ELF specification: class at 4, byte order at 5, machine at 18.
fn elf_problem(start: &ElfStart, architecture: Architecture) -> Option<&'static str> {
    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;
    if start[..6] != *b"\x7fELF\x02\x01" {
        return Some("it is not a 64-bit Linux program");
    }
    match (u16::from_le_bytes([start[18], start[19]]), architecture) {
        (X86_64, Architecture::X86_64) | (AARCH64, Architecture::Arm64) => None,
        (X86_64, _) => Some("it was built for x86_64"),
        (AARCH64, _) => Some("it was built for arm64"),
        _ => Some("it was built for a processor that Lambda does not offer"),
    }
}
