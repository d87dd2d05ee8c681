//! How large the head of a request may be. The library answers what is larger still without a word; between the two bounds a
//! client is told.

use axum::http::{HeaderMap, StatusCode, Uri};

/// Bytes of a head that the library reads.
pub(super) const MOST_HEAD_BYTES: usize = 128 * 1024;
/// Lines of a head that the library reads.
pub(super) const MOST_HEADERS: usize = 256;

/// Bytes of a path with its query.
const URI_BYTES: usize = 32 * 1024;
/// Bytes of names and values of all headers.
const HEADER_BYTES: usize = 64 * 1024;
/// Headers.
const HEADERS: usize = 100;

/// Whether a head has a size that is served.
///
/// # Errors
/// Status, code and sentence of the refusal.
pub(super) fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str, String)> {
    let length = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if length > URI_BYTES {
        let message = format!("the path and query have {length} bytes, and may have {URI_BYTES}");
        return Err((StatusCode::URI_TOO_LONG, "uri_too_long", message));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let count = headers.len();
    if bytes > HEADER_BYTES || count > HEADERS {
        let message =
            format!("{count} headers have {bytes} bytes; at most {HEADERS} with {HEADER_BYTES} bytes are taken");
        return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message));
    }
    Ok(())
}
