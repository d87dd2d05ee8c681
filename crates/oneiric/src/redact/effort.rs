//! How much a text makes the rules look at: what tests hold them to, in place of a clock.

#[cfg(test)]
thread_local! {
    static SPENT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Says that so many bytes, or pieces, are looked at.
#[inline]
pub(super) fn spend(pieces: usize) {
    #[cfg(test)]
    SPENT.set(SPENT.get() + pieces);
    #[cfg(not(test))]
    let _ = pieces;
}

/// What this thread has spent since it last asked.
#[cfg(test)]
pub(super) fn spent() -> usize {
    SPENT.take()
}
