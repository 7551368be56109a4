//! What every sink must pass.
