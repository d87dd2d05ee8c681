//! Random text that programs publish: ids of what they keep, fingerprints in headers, public keys. It is what people search
//! for later.

use super::{effort, structure};

/// Ids of Anthropic, OpenAI and Stripe: a kind, and letters and digits.
const KINDS: &[&[u8]] = &[
    b"call_",
    b"msg_",
    b"req_",
    b"toolu_",
    b"srvtoolu_",
    b"msgbatch_",
    b"chatcmpl-",
    b"cmpl-",
    b"resp_",
    b"run_",
    b"thread_",
    b"asst_",
    b"step_",
    b"batch_",
    b"file-",
    b"file_",
    b"ftjob-",
    b"org-",
    b"pi_",
    b"sub_",
    b"evt_",
    b"price_",
    b"prod_",
    b"cus_",
    b"ch_",
    b"pm_",
    b"seti_",
    b"txn_",
    b"acct_",
];

/// Fields of headers that tell which answer this was, and which version of it.
const FIELDS: &[&[u8]] = &[
    b"x-amz-cf-id",
    b"x-amz-id-2",
    b"x-amz-request-id",
    b"x-request-id",
    b"request-id",
    b"apigw-requestid",
    b"x-amz-apigw-id",
    b"content-md5",
    b"etag",
    b"if-none-match",
    b"if-match",
    b"digest",
    b"content-digest",
    b"x-goog-hash",
    b"sec-websocket-key",
    b"sec-websocket-accept",
];

/// Whether a token is the id of something, whole.
pub(super) fn is_id(token: &[u8]) -> bool {
    let rest = |kind: &&[u8]| token.strip_prefix(*kind);
    KINDS.iter().find_map(rest).is_some_and(|rest| rest.iter().all(u8::is_ascii_alphanumeric))
}

/// Whether a token of `length` bytes at `start` is the value of a field that is published, or a part of a public key in
/// JSON (`"x"` and `"y"` of a curve, `"n"` of RSA). What is private of such a key, `"d"`, is none.
pub(super) fn is_field(text: &[u8], start: usize, length: usize) -> bool {
    const NEAR: usize = 512;
    let head = &text[start.saturating_sub(48)..start];
    let around = |byte: &u8| matches!(byte, b'"' | b'\'' | b'\\' | b' ');
    let trim = |head: &[u8]| head.iter().rposition(|byte| !around(byte)).map_or(0, |last| last + 1);
    // `ETag: W/"…"`
    let bare = &head[..trim(head)];
    let bare = bare.strip_suffix(b"W/").map_or(bare, |bare| &bare[..trim(bare)]);
    let Some(name) = bare.strip_suffix(b":") else { return false };
    let quoted = name.last().is_some_and(|last| matches!(last, b'"' | b'\''));
    let name = &name[..trim(name)];
    let from = name.iter().rposition(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'-')).map_or(0, |at| at + 1);
    let name = &name[from..];
    if quoted && matches!(name, b"x" | b"y" | b"n") {
        let end = text.len().min(start + length + NEAR);
        let near = &text[start.saturating_sub(NEAR)..end];
        effort::spend(near.len());
        return structure::find(near, b"\"kty").is_some();
    }
    FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field))
}

/// Whether a token is the name of a host in a file of known ones, `|1|salt|hash`, which ends before it or is it.
pub(super) fn is_known_host(before: &[u8]) -> bool {
    let Some(head) = before.strip_suffix(b"|") else { return false };
    let salt =
        head.iter().rev().take(48).take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)).count();
    head.ends_with(b"|1") || head[..head.len() - salt].ends_with(b"|1|")
}
