//! What [`export!`](crate::export) expands to, but for the symbols themselves.

use std::cell::RefCell;

use crate::{Config, KeyValue, Plugin};

/// The plugin's one value, made by `init`.
pub type Slot<P> = RefCell<Option<P>>;

/// `init`: starts the plugin.
pub fn start<P: Plugin>(slot: &Slot<P>, config: Vec<KeyValue>) -> Result<(), String> {
    let plugin = P::start(&Config::new(config))?;
    *slot.borrow_mut() = Some(plugin);
    Ok(())
}

/// Runs a hook on the plugin.
pub fn call<P, R>(slot: &Slot<P>, hook: impl FnOnce(&mut P) -> R) -> R {
    let mut slot = slot.borrow_mut();
    hook(
        slot.as_mut()
            .expect("the host calls init, successfully, before any hook"),
    )
}

/// Makes the plugin of this component: `export!(MyPlugin: playlist)`. Behind the colon stand the hooks whose traits the
/// type implements. It is used once in a crate, and does nothing but for a wasm target.
#[macro_export]
macro_rules! export {
    ($plugin:ident : $($hook:ident),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::glue::Slot<$plugin> = const { $crate::glue::Slot::new(None) };
            }

            struct Component;

            impl $crate::bindings::lifecycle::exports::picam::plugin::lifecycle::Guest for Component {
                fn describe() -> $crate::bindings::lifecycle::exports::picam::plugin::lifecycle::Description {
                    <$plugin as $crate::Plugin>::describe().into_record()
                }

                fn init(config: ::std::vec::Vec<$crate::KeyValue>) -> ::std::result::Result<(), ::std::string::String> {
                    SLOT.with(|slot| $crate::glue::start(slot, config))
                }
            }

            $crate::bindings::lifecycle::export_lifecycle!(Component);
            $($crate::__export_hook!($hook, $plugin, Component, SLOT);)+
        };
    };
}

/// One hook of [`export!`](crate::export).
#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (playlist, $plugin:ident, $component:ident, $slot:ident) => {
        impl $crate::bindings::playlist::exports::picam::plugin::playlist::Guest for $component {
            fn wanted_timing() -> $crate::playlist::TimingRequest {
                $slot.with(|slot| {
                    $crate::glue::call(slot, |plugin| {
                        $crate::playlist::Playlist::wanted_timing(plugin)
                    })
                })
            }

            fn documents() -> ::std::vec::Vec<$crate::playlist::Document> {
                $slot.with(|slot| {
                    $crate::glue::call(slot, |plugin| $crate::playlist::Playlist::documents(plugin))
                })
            }

            fn render(
                request: $crate::playlist::Request,
                presentation: $crate::playlist::Presentation,
            ) -> $crate::playlist::Answer {
                $slot.with(|slot| {
                    $crate::glue::call(slot, |plugin| {
                        $crate::playlist::Playlist::render(plugin, &request, &presentation)
                    })
                })
            }
        }

        $crate::bindings::playlist::export_playlist!($component);
    };
    ($other:ident, $plugin:ident, $component:ident, $slot:ident) => {
        ::core::compile_error!(::core::concat!(
            "there is no hook `",
            ::core::stringify!($other),
            "`; export! knows `playlist`"
        ));
    };
}
