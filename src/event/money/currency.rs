//! Currencies by their ISO 4217 alphabetic codes.
//!
//! Keeps: a `Currency` that exists is in the table.
//! Refuses: codes the table does not have, because a misspelt currency is money counted wrong.

use std::fmt;
use std::str::FromStr;

use super::MoneyError;

/// An ISO 4217 currency by its alphabetic code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// US dollar.
    pub const USD: Self = Self(*b"USD");

    /// The currency with this code, in upper case as it is stored.
    ///
    /// # Errors
    ///
    /// Not three letters, or not in the table.
    pub fn from_code(code: [u8; 3]) -> Result<Self, MoneyError> {
        if !code.iter().all(u8::is_ascii_alphabetic) {
            return Err(MoneyError::CurrencyForm);
        }
        match row_of(code) {
            Some(_) => Ok(Self(code)),
            None => Err(MoneyError::UnknownCurrency(code.map(char::from))),
        }
    }

    /// The code, three upper-case letters.
    pub const fn code(self) -> [u8; 3] {
        self.0
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        match str::from_utf8(&self.0) {
            Ok(code) => code,
            Err(_) => unreachable!("codes are ASCII"),
        }
    }

    /// Decimal places of the smallest unit in use: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn minor_digits(self) -> u8 {
        match row_of(self.0) {
            Some(row) => row[3] - b'0',
            None => unreachable!("a currency is in the table"),
        }
    }
}

/// Reads a code in any case, blanks around it skipped.
impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match <[u8; 3]>::try_from(text.trim().as_bytes()) {
            Ok(code) => Self::from_code(code.map(|letter| letter.to_ascii_uppercase())),
            Err(_) => Err(MoneyError::CurrencyForm),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn row_of(code: [u8; 3]) -> Option<&'static [u8; 4]> {
    let index = NUMBERS.binary_search(&number_of(code)).ok()?;
    Some(CURRENCIES[index])
}

/// A code as a number, in the same order: numbers are compared faster, and every record with money in it is read so.
const fn number_of([a, b, c]: [u8; 3]) -> u32 {
    (a as u32) << 16 | (b as u32) << 8 | c as u32
}

/// The codes of `CURRENCIES`.
static NUMBERS: [u32; CURRENCIES.len()] = {
    let mut numbers = [0; CURRENCIES.len()];
    let mut index = 0;
    while index < CURRENCIES.len() {
        let [a, b, c, _] = *CURRENCIES[index];
        numbers[index] = number_of([a, b, c]);
        index += 1;
    }
    numbers
};

/// ISO 4217 list one of 2026-01-01: code and minor digits, sorted. Left out are the 13 codes without a minor unit
/// (metals, bond units, test and "no currency"): nobody is paid in them.
///
/// Only ever add to it: a record with a code that ISO retires later must still be read.
const CURRENCIES: [&[u8; 4]; 165] = [
    b"AED2", b"AFN2", b"ALL2", b"AMD2", b"AOA2", b"ARS2", b"AUD2", b"AWG2", b"AZN2", b"BAM2", b"BBD2",
    b"BDT2", b"BHD3", b"BIF0", b"BMD2", b"BND2", b"BOB2", b"BOV2", b"BRL2", b"BSD2", b"BTN2", b"BWP2",
    b"BYN2", b"BZD2", b"CAD2", b"CDF2", b"CHE2", b"CHF2", b"CHW2", b"CLF4", b"CLP0", b"CNY2", b"COP2",
    b"COU2", b"CRC2", b"CUP2", b"CVE2", b"CZK2", b"DJF0", b"DKK2", b"DOP2", b"DZD2", b"EGP2", b"ERN2",
    b"ETB2", b"EUR2", b"FJD2", b"FKP2", b"GBP2", b"GEL2", b"GHS2", b"GIP2", b"GMD2", b"GNF0", b"GTQ2",
    b"GYD2", b"HKD2", b"HNL2", b"HTG2", b"HUF2", b"IDR2", b"ILS2", b"INR2", b"IQD3", b"IRR2", b"ISK0",
    b"JMD2", b"JOD3", b"JPY0", b"KES2", b"KGS2", b"KHR2", b"KMF0", b"KPW2", b"KRW0", b"KWD3", b"KYD2",
    b"KZT2", b"LAK2", b"LBP2", b"LKR2", b"LRD2", b"LSL2", b"LYD3", b"MAD2", b"MDL2", b"MGA2", b"MKD2",
    b"MMK2", b"MNT2", b"MOP2", b"MRU2", b"MUR2", b"MVR2", b"MWK2", b"MXN2", b"MXV2", b"MYR2", b"MZN2",
    b"NAD2", b"NGN2", b"NIO2", b"NOK2", b"NPR2", b"NZD2", b"OMR3", b"PAB2", b"PEN2", b"PGK2", b"PHP2",
    b"PKR2", b"PLN2", b"PYG0", b"QAR2", b"RON2", b"RSD2", b"RUB2", b"RWF0", b"SAR2", b"SBD2", b"SCR2",
    b"SDG2", b"SEK2", b"SGD2", b"SHP2", b"SLE2", b"SOS2", b"SRD2", b"SSP2", b"STN2", b"SVC2", b"SYP2",
    b"SZL2", b"THB2", b"TJS2", b"TMT2", b"TND3", b"TOP2", b"TRY2", b"TTD2", b"TWD2", b"TZS2", b"UAH2",
    b"UGX0", b"USD2", b"USN2", b"UYI0", b"UYU2", b"UYW4", b"UZS2", b"VED2", b"VES2", b"VND0", b"VUV0",
    b"WST2", b"XAD2", b"XAF0", b"XCD2", b"XCG2", b"XOF0", b"XPF0", b"YER2", b"ZAR2", b"ZMW2", b"ZWG2",
];

const _: () = {
    let mut index = 0;
    while index < CURRENCIES.len() {
        let row = CURRENCIES[index];
        assert!(row[3] >= b'0' && row[3] <= b'4', "a minor unit is at least a millionth");
        assert!(index == 0 || number(CURRENCIES[index - 1]) < number(row), "sorted, each code once");
        index += 1;
    }
};

const fn number(row: &[u8; 4]) -> u32 {
    (row[0] as u32) << 16 | (row[1] as u32) << 8 | row[2] as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_read_in_any_case_and_unknown_ones_refused() {
        assert_eq!("usd".parse(), Ok(Currency::USD));
        assert_eq!(" Usd ".parse(), Ok(Currency::USD));
        assert_eq!(Currency::from_code(*b"USD"), Ok(Currency::USD));
        assert!(Currency::from_code(*b"usd").is_err(), "stored codes are upper case");
        for (code, digits) in [("JPY", 0), ("USD", 2), ("KWD", 3), ("CLF", 4), ("AED", 2), ("ZWG", 2)] {
            assert_eq!(code.parse::<Currency>().unwrap().minor_digits(), digits, "{code}");
        }
        for code in ["", "US", "USDT", "U D", "12A", "€", "é1"] {
            assert_eq!(code.parse::<Currency>(), Err(MoneyError::CurrencyForm), "{code:?}");
        }
        for code in ["AAA", "ZZZ", "DEM", "XXX", "XAU"] {
            let error = code.parse::<Currency>().unwrap_err().to_string();
            assert_eq!(error, format!("currency {code} is not an active ISO 4217 code"));
        }
    }

    #[test]
    fn every_currency_in_the_table_reads_back() {
        for row in CURRENCIES {
            let currency = Currency::from_code([row[0], row[1], row[2]]).unwrap();
            assert_eq!(currency.as_str().to_lowercase().parse(), Ok(currency));
            assert_eq!(format!("{currency:?}").as_bytes(), &row[..3]);
        }
    }
}
