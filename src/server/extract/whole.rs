//! A body as it came, for what reads it itself.

use axum::{
    extract::{FromRequest, Request},
    http,
};
use bytes::Bytes;

use super::{received, values};
use crate::server::{caller::Caller, error::AppError};

/// A request whose body is there as it came, for what reads it itself.
pub(in crate::server) struct Whole {
    /// All of it.
    pub(in crate::server) request: http::Request<Bytes>,
    /// The caller.
    pub(in crate::server) caller: Caller,
}

impl<S: Sync> FromRequest<S> for Whole {
    type Rejection = AppError;

    async fn from_request(request: Request, _: &S) -> Result<Self, AppError> {
        let (parts, body) = request.into_parts();
        let head = parts.clone();
        let (bytes, caller) = received(Request::from_parts(parts, body)).await?;
        values::check(&bytes)?;
        Ok(Self { request: http::Request::from_parts(head, bytes), caller })
    }
}
