//! A reload does not take away what nobody asked it to.
