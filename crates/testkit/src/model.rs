//! A model of the kind that the programs run (BERT with GELU), small and without sense, made of numbers: for tests of how
//! models come in, are kept and replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Length of its vectors, its layer's inner width, and the positions that it knows.
const WIDTH: usize = 32;
const INNER: usize = 64;
const POSITIONS: usize = 128;

/// The files of such a model by their names. `rows` of its words make its weights as large as wanted (128 bytes each);
/// models of two salts have two digests.
#[must_use]
pub fn files(rows: usize, salt: u64) -> BTreeMap<String, Vec<u8>> {
    let mut words: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned).to_vec();
    for c in ('a'..='z').chain('0'..='9') {
        words.push(c.to_string());
        words.push(format!("##{c}"));
    }
    let rows = rows.max(words.len());
    let vocabulary: BTreeMap<&str, usize> = words.iter().enumerate().map(|(id, word)| (word.as_str(), id)).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary },
    });
    let config = json!({ "model_type": "bert", "hidden_act": "gelu", "hidden_size": WIDTH, "num_attention_heads": 2 });
    BTreeMap::from([
        ("model.safetensors".to_owned(), weights(rows, salt)),
        ("tokenizer.json".to_owned(), tokenizer.to_string().into_bytes()),
        ("config.json".to_owned(), config.to_string().into_bytes()),
        ("sentence_bert_config.json".to_owned(), br#"{"max_seq_length": 96}"#.to_vec()),
    ])
}

/// Writes the files into a new folder `name` below `root`; its path.
///
/// # Panics
/// When they cannot be written.
#[must_use]
pub fn folder(root: &Path, name: &str, rows: usize, salt: u64) -> PathBuf {
    let folder = root.join(name);
    fs::create_dir_all(&folder).expect("a folder for a model");
    for (file, bytes) in files(rows, salt) {
        fs::write(folder.join(file), bytes).expect("a model's file");
    }
    folder
}

fn weights(rows: usize, salt: u64) -> Vec<u8> {
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![rows, WIDTH]),
        ("embeddings.position_embeddings.weight".into(), vec![POSITIONS, WIDTH]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, WIDTH]),
    ];
    let mut named = |name: &str, shape: &[usize]| tensors.push((name.to_owned(), shape.to_vec()));
    let layer = |part: &str| format!("encoder.layer.0.{part}");
    for norm in
        ["attention.output.LayerNorm", "output.LayerNorm"].map(layer).iter().chain([&"embeddings.LayerNorm".to_owned()])
    {
        named(&format!("{norm}.weight"), &[WIDTH]);
        named(&format!("{norm}.bias"), &[WIDTH]);
    }
    for (part, outputs, inputs) in [
        ("attention.self.query", WIDTH, WIDTH),
        ("attention.self.key", WIDTH, WIDTH),
        ("attention.self.value", WIDTH, WIDTH),
        ("attention.output.dense", WIDTH, WIDTH),
        ("intermediate.dense", INNER, WIDTH),
        ("output.dense", WIDTH, INNER),
    ] {
        named(&format!("{}.weight", layer(part)), &[outputs, inputs]);
        named(&format!("{}.bias", layer(part)), &[outputs]);
    }
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    let mut state = salt | 1;
    for (name, shape) in tensors {
        let start = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Small numbers around one for scales, around zero for the rest.
            let noise = (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
            let number = if name.ends_with("LayerNorm.weight") { 1.0 + noise * 0.1 } else { noise * 0.4 };
            data.extend_from_slice(&number.to_le_bytes());
        }
        let place: Value = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name, place);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}
