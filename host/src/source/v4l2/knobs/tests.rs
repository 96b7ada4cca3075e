use super::*;

fn control(label: &str, values: Values) -> CameraControl {
    CameraControl {
        name: variable(label),
        label: label.into(),
        values,
        value: Some(0),
        default: 0,
        fixed: None,
        id: 0,
    }
}

fn camera() -> Vec<CameraControl> {
    vec![
        control(
            "Brightness",
            Values::Integer {
                minimum: -64,
                maximum: 64,
                step: 1,
            },
        ),
        control("White Balance Temperature, Auto", Values::Boolean),
        control(
            "Exposure, Auto",
            Values::Menu {
                items: vec![
                    (1, "Manual Mode".into()),
                    (3, "Aperture Priority Mode".into()),
                ],
            },
        ),
        control("Bitmask", Values::Bits { all: 0x8000_2000 }),
    ]
}

fn read(name: &str, value: &str) -> Result<i32, String> {
    let camera = camera();
    find(&camera, name)
        .and_then(|control| control.read(value))
        .map_err(|error| error.to_string())
}

#[test]
fn controls_are_named_and_set_as_v4l2_ctl_does() {
    assert_eq!(read("brightness", "-64"), Ok(-64));
    assert_eq!(read("white_balance_temperature_auto", "true"), Ok(1));
    assert_eq!(read("white-balance-temperature-auto", "0"), Ok(0));
    assert_eq!(read("exposure_auto", "3"), Ok(3));
    assert_eq!(read("exposure_auto", "Aperture Priority Mode"), Ok(3));
    assert_eq!(read("exposure_auto", "manual"), Ok(1));
    assert_eq!(read("bitmask", "0x80000000"), Ok(i32::MIN));
}

#[test]
fn what_is_wrong_is_told_with_what_would_be_right() {
    let error = |name, value| read(name, value).unwrap_err();
    assert_eq!(
        error("brightnes", "1"),
        "there is no control `brightnes`; did you mean `brightness`?"
    );
    assert!(error("zzz", "1").contains("there are brightness, white_balance"));
    assert_eq!(
        error("brightness", "65"),
        "the control `brightness` can't be 65; expected -64 to 64"
    );
    assert!(error("brightness", "bright").contains("-64 to 64"));
    assert_eq!(
        error("exposure_auto", "2"),
        "the control `exposure_auto` can't be 2; expected \"Manual Mode\" (1), \"Aperture Priority Mode\" (3)"
    );
    assert!(error("white_balance_temperature_auto", "yes").contains("true or false"));
    assert!(error("bitmask", "1").contains("0x80002000"));
}
