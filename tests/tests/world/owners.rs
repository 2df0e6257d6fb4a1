//! What several agents could share has one owner.
