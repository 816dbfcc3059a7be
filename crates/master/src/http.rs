//! The routes, one file a resource. A handler extracts, calls one function of the domain, and answers.

mod api_path;
mod api_query;
pub(crate) mod auth;
pub(crate) mod download;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod gate;
pub(crate) mod join;
pub(crate) mod live;
pub(crate) mod meeting_path;
pub(crate) mod meetings;
pub(crate) mod nodes;
pub(crate) mod operators;
mod plain_fetch;
pub(crate) mod presence;
mod speaker;
pub(crate) mod tablet;
pub(crate) mod uploads;
pub(crate) mod users;
