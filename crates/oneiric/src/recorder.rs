//! Records one session: redacts, spools at once, and delivers in the background.
