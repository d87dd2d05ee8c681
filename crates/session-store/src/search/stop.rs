//! Words that a question is made of, not about. They are looked for only when a query has no others.

/// English articles, pronouns, auxiliaries, prepositions and question words, and what an apostrophe leaves of them.
/// `not` and `no` stay: they are part of what programs say.
const WORDS: [&str; 101] = [
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "being", "but", "by", "can", "could", "d",
    "did", "do", "does", "doing", "done", "for", "from", "had", "has", "have", "having", "he", "her", "hers", "him",
    "his", "how", "i", "if", "in", "is", "it", "its", "ll", "m", "me", "might", "must", "my", "of", "on", "or", "our",
    "ours", "re", "s", "shall", "she", "should", "so", "some", "t", "than", "that", "the", "their", "theirs", "them",
    "then", "there", "these", "they", "this", "those", "to", "us", "ve", "was", "we", "were", "what", "when", "where",
    "whether", "which", "while", "who", "whom", "whose", "why", "will", "with", "would", "you", "your", "yours",
    "himself", "herself", "itself", "into", "onto", "upon", "myself", "yourself",
];

/// Whether `word`, folded, says nothing of what is looked for.
#[must_use]
pub fn is_stop(word: &str) -> bool {
    WORDS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_questions_are_told_from_words_of_matters() {
        assert!(is_stop("what") && is_stop("the") && is_stop("s"));
        assert!(!is_stop("not") && !is_stop("error") && !is_stop("up"));
    }
}
