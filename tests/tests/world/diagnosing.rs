//! The cause of a failure comes first, a harmless peculiarity never.
