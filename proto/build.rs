//! Compiles every file of `yizhan/v1` without protoc, and keeps the descriptors for reflection.

use std::{env, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=yizhan");
    let mut files: Vec<PathBuf> = fs::read_dir("yizhan/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let descriptors = protox::compile(&files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".yizhan.v1.Row.payload")
        .bytes(".yizhan.v1.Page.rows_zstd")
        .bytes(".yizhan.v1.HomeHandOver.rows_zstd")
        // They hold a join token, which never gets into a log.
        .skip_debug([
            ".yizhan.v1.AdmitPeerResponse",
            ".yizhan.v1.EnrolBody",
            ".yizhan.v1.EnrolRequest",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}
