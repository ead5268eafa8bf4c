// The 34 provincial units of Vietnam since 1 July 2025 (Resolution 202/2025/QH15; codes by Decision 19/2025/QĐ-TTg), laid
// as tiles where they lie to each other. Hoàng Sa is of Đà Nẵng, Trường Sa of Khánh Hòa.

import { folded } from "../words";

export interface Unit {
  code: string;
  name: string;
  column: number;
  row: number;
}

const LAID: readonly (readonly [string, string, number, number])[] = [
  ["12", "Lai Châu", 0, 0],
  ["15", "Lào Cai", 1, 0],
  ["08", "Tuyên Quang", 2, 0],
  ["04", "Cao Bằng", 3, 0],
  ["11", "Điện Biên", 0, 1],
  ["14", "Sơn La", 1, 1],
  ["25", "Phú Thọ", 2, 1],
  ["19", "Thái Nguyên", 3, 1],
  ["20", "Lạng Sơn", 4, 1],
  ["22", "Quảng Ninh", 5, 1],
  ["01", "Hà Nội", 2, 2],
  ["24", "Bắc Ninh", 3, 2],
  ["31", "Hải Phòng", 4, 2],
  ["37", "Ninh Bình", 2, 3],
  ["33", "Hưng Yên", 3, 3],
  ["38", "Thanh Hóa", 2, 4],
  ["40", "Nghệ An", 2, 5],
  ["42", "Hà Tĩnh", 2, 6],
  ["44", "Quảng Trị", 3, 7],
  ["46", "Huế", 4, 8],
  ["48", "Đà Nẵng", 4, 9],
  ["51", "Quảng Ngãi", 4, 10],
  ["52", "Gia Lai", 4, 11],
  ["66", "Đắk Lắk", 4, 12],
  ["80", "Tây Ninh", 2, 13],
  ["75", "Đồng Nai", 3, 13],
  ["68", "Lâm Đồng", 4, 13],
  ["56", "Khánh Hòa", 5, 13],
  ["91", "An Giang", 1, 14],
  ["82", "Đồng Tháp", 2, 14],
  ["79", "TP. Hồ Chí Minh", 3, 14],
  ["92", "Cần Thơ", 1, 15],
  ["86", "Vĩnh Long", 2, 15],
  ["96", "Cà Mau", 1, 16],
];

export const UNITS: readonly Unit[] = LAID.map(([code, name, column, row]) => ({ code, name, column, row }));
/** The archipelagos, with the unit that each belongs to. */
export const ISLANDS: readonly Unit[] = [
  { code: "48", name: "Hoàng Sa", column: 6, row: 9 },
  { code: "56", name: "Trường Sa", column: 6, row: 14 },
];
export const ROWS = 17;
export const COLUMNS = 7;

const signs = (text: string): string => folded(text).replace(/[^a-z0-9]/g, "");
const NAMES = UNITS.map((unit) => [signs(unit.name.replace("TP. ", "")), unit] as const);

/** Return the unit that a value of an event names, by its code or by its name anywhere in it; none for others. */
export function unitOf(value: string): Unit | undefined {
  const text = signs(value);
  return UNITS.find(({ code }) => code === text) ?? NAMES.find(([name]) => text.includes(name))?.[1];
}
