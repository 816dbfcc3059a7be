//! All that crosses the wire between master, node, tablet and administrator: requests, answers, error codes,
//! route constants and the strings that are signed.
//!
//! Plain data only. This crate opens no socket, reads no file and computes no signature; it says *what* is signed,
//! `posthouse_runtime::trust` says *how*. [`legacy`] holds the shapes of the deployed Python programs.
#![warn(missing_docs)]

pub mod config;
pub mod error;
pub mod event;
pub mod join;
pub mod legacy;
pub mod live;
pub mod meeting;
pub mod node;
pub mod package;
pub mod routes;
pub mod signing;
pub mod user;

pub use error::{ErrorBody, ErrorCode};
pub use meeting::{MeetingId, MeetingIdError};
pub use package::{Block, ContentHash, PackageDescription};

/// Version of the wire contract between our own programs. A master sends it in `status/node` as `version`, and its
/// absence there is how a node recognises an older master.
pub const PROTOCOL_VERSION: u32 = 1;
