// ECharts with the parts that panels use, and no other: its map component, and the map data in it, are not among them.

import {
  BarChart,
  GaugeChart,
  GraphChart,
  HeatmapChart,
  PieChart,
  SankeyChart,
  ScatterChart,
  TreemapChart,
} from "echarts/charts";
import { GridComponent, LegendComponent, TooltipComponent, VisualMapComponent } from "echarts/components";
import { init, registerLocale, use } from "echarts/core";
import vietnamese from "echarts/i18n/langVI-obj.js";
import { CanvasRenderer } from "echarts/renderers";

use([
  BarChart,
  GaugeChart,
  GraphChart,
  HeatmapChart,
  PieChart,
  SankeyChart,
  ScatterChart,
  TreemapChart,
  GridComponent,
  LegendComponent,
  TooltipComponent,
  VisualMapComponent,
  CanvasRenderer,
]);
registerLocale("VI", vietnamese);

export { init };
