//! Models that are known by their digests: what comes in under their names has to be them, byte for byte.

/// A model whose files are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Name of the model and of its folder.
    pub name: &'static str,
    /// Where the hub keeps it.
    pub repository: &'static str,
    /// Hex SHA-256 of `model.safetensors`.
    pub digest: &'static str,
    /// Hex SHA-256 of `tokenizer.json`.
    pub tokenizer_digest: &'static str,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Word pieces that it was made to see at once.
    pub window: usize,
    /// Length of its vectors.
    pub dimensions: usize,
}

/// Every known model; the first is the default.
pub const KNOWN: &[Known] = &[Known {
    name: "all-MiniLM-L6-v2",
    repository: "sentence-transformers/all-MiniLM-L6-v2",
    digest: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    tokenizer_digest: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    heads: 12,
    window: 256,
    dimensions: 384,
}];

/// The known model of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}
