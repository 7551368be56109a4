//! The headers of a message as librdkafka holds them, with names as long as they are.
//!
//! librdkafka's public calls hand a name out as a C string, which a NUL byte cuts short; but they have its length, right
//! before it. It is read there, and only where everything around proves that it is the length.

use std::ffi::{CStr, c_char, c_void};
use std::mem::offset_of;
use std::sync::Once;

use rdkafka_sys as native;

use crate::record::HeaderVisitor;

/// `struct rd_kafka_header_s` of librdkafka 2.12.1 (`rdkafka_header.h`).
#[repr(C)]
struct Held {
    serialized_size: usize,
    value_size: usize,
    name_size: usize,
    value: *const c_void,
    /// Of `name_size` bytes and a NUL; then the value's, where it is not null.
    name: [c_char; 1],
}

/// Visits all headers, in their order.
///
/// # Safety
/// `headers` are librdkafka's, and nobody alters them for as long as this takes.
pub(super) unsafe fn visit(headers: *const native::rd_kafka_headers_t, each: HeaderVisitor<'_>) {
    let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
    for place in 0.. {
        // SAFETY: by the caller's promise; the call fills all three or fails.
        let code = unsafe { native::rd_kafka_header_get_all(headers, place, &mut name, &mut value, &mut size) };
        if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        // SAFETY: name and value are those of one header; a value is null or `size` bytes.
        unsafe {
            let bytes = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
            each(whole_name(name, value, size), bytes);
        }
    }
}

/// # Safety
/// All three come from one call of `rd_kafka_header_get_all`, and the header lives as long as `'a`.
unsafe fn whole_name<'a>(name: *const c_char, value: *const c_void, value_size: usize) -> &'a [u8] {
    // SAFETY: a librdkafka of this version hands out the name inside of what it allocated as `Held`. No byte is read at
    // a place that a length tells before the length is proved.
    let proved = unsafe {
        native::rd_kafka_version() == LAID_OUT_SO && {
            let held = name.byte_sub(offset_of!(Held, name)).cast::<Held>();
            held.is_aligned() && is_proved(&*held, name, value, value_size)
        }
    };
    if proved {
        // SAFETY: as above, and so many bytes were proved to be the name's.
        return unsafe {
            let held = name.byte_sub(offset_of!(Held, name)).cast::<Held>();
            std::slice::from_raw_parts(name.cast(), (*held).name_size)
        };
    }
    TOLD.call_once(|| {
        tracing::error!(
            "this librdkafka lays headers out in another way: names with a NUL byte in them land cut short"
        );
    });
    // SAFETY: it is a C string in any case.
    unsafe { CStr::from_ptr(name) }.to_bytes()
}

/// Whether what is taken for a header agrees with itself and with what librdkafka said of it.
///
/// # Safety
/// `name` is a C string inside of an allocation that holds the header.
unsafe fn is_proved(held: &Held, name: *const c_char, value: *const c_void, value_size: usize) -> bool {
    let Held { serialized_size, name_size, .. } = *held;
    let sum =
        || name_size.checked_add(value_size)?.checked_add(varint_size(name_size))?.checked_add(varint_size(value_size));
    held.value == value
        && held.value_size == value_size
        && sum() == Some(serialized_size)
        && (value.is_null() || name.addr().checked_add(name_size + 1) == Some(value.addr()))
        // SAFETY: three sizes agree, so it is the name's; and a name is followed by a NUL.
        && unsafe { *name.add(name_size) == 0 }
}

/// Bytes of a length as a signed varint, which is how it goes over the wire.
fn varint_size(length: usize) -> usize {
    let bits = u64::BITS - ((length as u64) << 1).leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

static TOLD: Once = Once::new();

/// `RD_KAFKA_VERSION` of librdkafka 2.12.1. Another one has to be looked at, and its number put here.
const LAID_OUT_SO: i32 = 0x020c_01ff;

#[cfg(test)]
mod tests {
    use super::*;

    fn visited(headers: &[(&[u8], Option<&[u8]>)]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        // SAFETY: names and values come with their lengths and are copied; the headers are destroyed once, in the end.
        unsafe {
            let held = native::rd_kafka_headers_new(headers.len());
            for (name, value) in headers {
                let bytes = value.map_or(std::ptr::null(), |value| value.as_ptr());
                let size = value.map_or(0, <[u8]>::len);
                native::rd_kafka_header_add(
                    held,
                    name.as_ptr().cast(),
                    name.len().cast_signed(),
                    bytes.cast(),
                    size.cast_signed(),
                );
            }
            visit(held, &mut |name, value| found.push((name.to_vec(), value.map(<[u8]>::to_vec))));
            native::rd_kafka_headers_destroy(held);
        }
        found
    }

    #[test]
    fn names_are_whole_wherever_a_nul_is_in_them() {
        let long = [b"n\0".repeat(40), b"n".repeat(9_000)].concat();
        let names: [&[u8]; 9] = [b"", b"\0", b"\0a", b"a\0b", b"a\0", b"\0\0\0", b"plain", &long[..64], &long];
        let value = vec![0; 70_000];
        let values: [Option<&[u8]>; 6] = [None, Some(b""), Some(b"\0"), Some(b"v"), Some(&value[..64]), Some(&value)];
        let headers: Vec<_> = names.iter().flat_map(|name| values.map(|value| (*name, value))).collect();
        let expected: Vec<_> = headers.iter().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect();
        assert_eq!(visited(&headers), expected);
        assert!(!TOLD.is_completed(), "each of them was proved");
    }

    #[test]
    fn a_header_that_does_not_agree_with_itself_is_not_believed() {
        let altered = |alter: &dyn Fn(&mut Held)| {
            // A null value behind a name of three bytes, all of them NUL as the one behind it is.
            let mut room = [0_u64; 16];
            let held = room.as_mut_ptr().cast::<Held>();
            // SAFETY: the room is aligned and large enough for a header and its name, and all of it is initialized.
            unsafe {
                (*held).serialized_size = 5;
                (*held).name_size = 3;
                alter(&mut *held);
                is_proved(&*held, (&raw const (*held).name).cast(), std::ptr::null(), 0)
            }
        };
        assert!(altered(&|_| {}));
        assert!(!altered(&|held| held.name_size = 4));
        assert!(!altered(&|held| held.serialized_size = 6));
        assert!(!altered(&|held| held.value_size = 1));
        assert!(!altered(&|held| held.value = std::ptr::dangling()));
        assert!(!altered(&|held| held.name_size = usize::MAX));
    }
}
