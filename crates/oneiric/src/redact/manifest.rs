//! The manifests of Kubernetes' secrets: all that stands below `data:` and `stringData:` is secret, whatever it is called.

use super::{MARK, Span, effort, judge};

/// A manifest is followed at most this far, back and on.
const MAX_MANIFEST: usize = 64 * 1024;

/// Adds the secrets of the manifest in which `kind: Secret` stands at `at`; says where it ends.
pub(super) fn find(text: &[u8], at: usize, spans: &mut Vec<Span>) -> usize {
    const KIND: &[u8] = b"kind: Secret";
    let inset = text[..at].iter().rev().take_while(|byte| **byte == b' ').count();
    let alone = matches!(at.checked_sub(inset + 1).map(|before| text[before]), None | Some(b'\n'));
    let named = text[at..].starts_with(KIND) && matches!(text.get(at + KIND.len()), None | Some(b'\n' | b'\r'));
    if !alone || !named {
        return at;
    }
    let before = &text[at.saturating_sub(MAX_MANIFEST)..at - inset];
    let mut start = at - inset;
    for line in before.split_inclusive(|byte| *byte == b'\n').rev() {
        if ends(line, inset) {
            // The first line of an item has a dash.
            start -= if first(line, inset) { line.len() } else { 0 };
            break;
        }
        start -= line.len();
    }
    let (mut line_start, mut data, mut block) = (start, false, None);
    let limit = text.len().min(at + MAX_MANIFEST);
    for line in text[start..limit].split_inclusive(|byte| *byte == b'\n') {
        let (from, indent) = (line_start, indent(line));
        if from > at && ends(line, inset) {
            break;
        }
        line_start += line.len();
        let content = line[indent..].trim_ascii_end();
        let own = indent == inset || (from == start && first(line, inset));
        if own && !content.is_empty() {
            spans.extend(block.take().and_then(|(_, span)| span));
            let key = content.strip_prefix(b"- ").unwrap_or(content);
            data = key == b"data:" || key == b"stringData:";
            continue;
        }
        if !data || content.is_empty() {
            continue;
        }
        let end = from + indent + content.len();
        // Lines below `key: |` belong to it.
        if let Some((key_indent, ref mut span)) = block
            && indent > key_indent
        {
            let start = span.map_or(from + indent, |span: Span| span.start);
            let clean = text[start..].starts_with(MARK.as_bytes());
            *span = Some(Span { start, end, kind: "secret" }).filter(|_| !clean);
            continue;
        }
        spans.extend(block.take().and_then(|(_, span)| span));
        let Some(colon) = super::structure::find(content, b": ") else { continue };
        let value = content[colon + 2..].trim_ascii_start();
        if matches!(value, [b'|' | b'>', ..]) && value.len() <= 3 {
            block = Some((indent, None));
            continue;
        }
        let quotes = usize::from(matches!(value, [open @ (b'"' | b'\''), .., close] if open == close));
        let secret = &value[quotes..value.len() - quotes];
        // `{name}` in the text of a program.
        let template = secret.starts_with(b"{") && secret.ends_with(b"}");
        if !template
            && !judge::is_masked(secret)
            && !judge::is_reference(secret, false)
            && !secret.starts_with(MARK.as_bytes())
        {
            spans.push(Span { start: end - quotes - secret.len(), end: end - quotes, kind: "secret" });
        }
    }
    spans.extend(block.and_then(|(_, span)| span));
    effort::spend(line_start - start);
    line_start.max(at)
}

fn indent(line: &[u8]) -> usize {
    line.iter().take_while(|byte| **byte == b' ').count()
}

/// Whether a line stands outside of what is `inset` so far.
fn ends(line: &[u8], inset: usize) -> bool {
    let empty = line.trim_ascii().is_empty();
    line.starts_with(b"---") || (!empty && indent(line) < inset)
}

/// Whether a line is the first one of an item of a list whose others are `inset` so far.
fn first(line: &[u8], inset: usize) -> bool {
    inset >= 2 && indent(line) == inset - 2 && line[inset - 2..].starts_with(b"- ")
}
