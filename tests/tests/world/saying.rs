//! What is inherent is documented, warned of, and explained rightly.
