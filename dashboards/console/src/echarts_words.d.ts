// ECharts ships its Vietnamese words without types.
declare module "echarts/i18n/langVI-obj.js" {
  const words: Parameters<(typeof import("echarts/core"))["registerLocale"]>[1];
  export default words;
}
