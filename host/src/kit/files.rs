//! The contract and the guest SDK as they lie in the repository, for people who have only the binary.

include!(concat!(env!("OUT_DIR"), "/kit_files.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_contract_and_the_whole_sdk_are_inside() {
        for name in ["worlds.wit", "types.wit", "auth.wit", "playlist.wit"] {
            assert!(WIT.iter().any(|(file, _)| *file == name), "{name}");
        }
        for name in ["lib.rs", "bindings.rs", "glue.rs"] {
            assert!(SDK.iter().any(|(file, _)| *file == name), "{name}");
        }
    }
}
