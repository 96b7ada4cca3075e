//! What `wit-bindgen` makes of `wit/`, one module per exported interface, so that a plugin can export any set of
//! them: worlds are added up when the component is made. Plugins use the names that the crate's root exports.

#![allow(missing_docs, reason = "generated: the documentation is the WIT's")]
#![allow(clippy::all, reason = "generated")]

/// The shared types, and what the host grants.
pub mod imports {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package picam:sdk; world grants {
            import picam:plugin/types@0.1.0;
            include picam:plugin/imports@0.1.0;
        }",
        world: "picam:sdk/grants",
        generate_all,
        additional_derives: [Clone, PartialEq, Eq],
    });
}

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package picam:sdk; world lifecycle { export picam:plugin/lifecycle@0.1.0; }",
        world: "picam:sdk/lifecycle",
        with: { "picam:plugin/types@0.1.0": super::imports::picam::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "picam_plugin::bindings::lifecycle",
        additional_derives: [Clone, PartialEq, Eq],
    });
}

pub mod playlist {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package picam:sdk; world playlist { export picam:plugin/playlist@0.1.0; }",
        world: "picam:sdk/playlist",
        with: { "picam:plugin/types@0.1.0": super::imports::picam::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_playlist",
        default_bindings_module: "picam_plugin::bindings::playlist",
        additional_derives: [Clone, PartialEq, Eq],
    });
}

pub mod naming {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package picam:sdk; world naming { export picam:plugin/naming@0.1.0; }",
        world: "picam:sdk/naming",
        with: { "picam:plugin/types@0.1.0": super::imports::picam::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_naming",
        default_bindings_module: "picam_plugin::bindings::naming",
        additional_derives: [Clone, PartialEq, Eq],
    });
}

pub mod auth {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package picam:sdk; world auth { export picam:plugin/auth@0.1.0; }",
        world: "picam:sdk/auth",
        with: { "picam:plugin/types@0.1.0": super::imports::picam::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_auth",
        default_bindings_module: "picam_plugin::bindings::auth",
        additional_derives: [Clone, PartialEq, Eq],
    });
}

pub mod overlay {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package picam:sdk; world overlay { export picam:plugin/overlay@0.1.0; }",
        world: "picam:sdk/overlay",
        with: { "picam:plugin/types@0.1.0": super::imports::picam::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_overlay",
        default_bindings_module: "picam_plugin::bindings::overlay",
        additional_derives: [Clone, PartialEq, Eq],
    });
}

pub mod state {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package picam:sdk; world state { export picam:plugin/state@0.1.0; }",
        world: "picam:sdk/state",
        pub_export_macro: true,
        export_macro_name: "export_state",
        default_bindings_module: "picam_plugin::bindings::state",
    });
}
