//! The wire contract of Yizhan, and nothing else: messages, clients and servers of `yizhan.v1`.

// Generated. A member is larger than its cards; boxed, it would be in every caller's way.
#[allow(clippy::large_enum_variant)]
pub mod v1 {
    tonic::include_proto!("yizhan.v1");
}

/// The compiled descriptors of `yizhan.v1`, for reflection and for the test that walks all RPCs.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
