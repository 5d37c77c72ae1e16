"""Plausible Chinese names for symbols and boards."""

_PLACES = (
    "华东 江南 天宇 中航 东方 海天 金龙 恒通 瑞丰 国联 云海 星辰 长虹 新希 三环 北辰 南山 西部 紫光 银河 "
    "永鼎 宏达 嘉禾 盛和 同德 万丰 泰和 安科 博雅 创维 大华 飞龙 光明 汉森 佳讯 凯盛 乐普 美亚 诺德 普利 "
    "齐峰 荣盛 山河 特锐 维科 兴业 亚太 正泰 众信 卓越 百川 彩虹 德赛 恩华 富春 高新 鸿博 景兴 康达 蓝焰 "
    "明泰 宁波 欧普 鹏辉 千禾 仁和 赛福 通源 威海 祥鑫 雅克 中科 晨光 鼎龙 方正 冠昊 航锦 精达 科陆 立昂"
).split()
_TRADES = (
    "科技 股份 电子 药业 材料 机械 电气 集团 生物 化工 能源 环保 信息 智能 重工 食品 传媒 医疗 光电 新材 "
    "汽车 软件 通信 物流 建设 家居 纺织 钢铁 水务 矿业 航运 包装 服饰 农业 发展 控股 实业 动力 精工 数据 "
    "轴承 仪器 置业 旅游 教育 证券 燃气 电力 铝业 铜业 半导 芯片 网络 文化 检测 设备 制药 玻璃 水泥 纸业 "
    "橡胶 塑胶 高速 港口 机场 银行 保险 信托 百货 商业 茶业 酒业 乳业 渔业 牧业 种业 林业 园林 装饰 照明"
).split()

_INDUSTRIES = (
    "采掘行业 化肥行业 银行 电力行业 航运港口 铁路公路 小金属 旅游酒店 煤炭行业 石油行业 工程建设 燃气 中药 "
    "航空机场 物流行业 美容护理 化学原料 公用事业 食品饮料 房地产开发 装修建材 农药兽药 水泥建材 工程机械 "
    "珠宝首饰 钢铁行业 房地产服务 纺织服装 工程咨询服务 农牧饲渔 能源金属 化纤行业 橡胶制品 贵金属 包装材料 "
    "玻璃玻纤 化学制品 装修装饰 电网设备 有色金属 光伏设备 医药商业 专业服务 电源设备 医疗器械 环保行业 "
    "船舶制造 综合行业 交运设备 化学制药 家电行业 多元金融 生物制品 非金属材料 造纸印刷 风电设备 家用轻工 "
    "贸易行业 汽车整车 电池 航天航空 证券 商业百货 塑料制品 汽车服务 电子化学品 专用设备 计算机设备 汽车零部件 "
    "医疗服务 文化传媒 保险 仪器仪表 光学光电子 通用设备 教育 游戏 互联网服务 电子元件 消费电子 通信设备 半导体 "
    "通信服务 软件开发 电机"
).split()
_THEMES = (
    "绿色电力 长寿药 白酒 页岩气 转基因 天然气 稀土永磁 预制菜 钒电池 乳业 新能源 海绵城市 次新股 黄金 化妆品 "
    "宠物经济 社区团购 维生素 中特估 低碳冶金 氢能源 储能 锂电池 固态电池 机器人 人工智能 大数据 云计算 区块链 "
    "数字货币 物联网 元宇宙 虚拟现实 量子通信 卫星导航 商业航天 低空经济 无人机 智能家居 智能电网 充电桩 核能核电 "
    "特高压 光刻机 存储芯片 国产芯片 算力租赁 数据中心 网络安全 跨境支付 电子竞技 短剧互动 养老 医美 创新药 "
    "基因测序 免疫治疗 疫苗 中药现代化 军民融合"
).split()
_THEME_KINDS = ("", "概念", "设备", "材料", "服务", "应用", "产业链", "龙头")


def symbol_name(at: int) -> str:
    """A name of four characters, different for each of the first 6,400 places."""
    places, trades = len(_PLACES), len(_TRADES)
    scattered = (at * 2_741 + 137) % (places * trades)
    return _PLACES[scattered % places] + _TRADES[scattered // places]


def industry_name(at: int) -> str:
    """The name of the industry at a place."""
    return _INDUSTRIES[at]


def concept_name(at: int) -> str:
    """The name of the concept at a place."""
    theme, kind = at % len(_THEMES), at // len(_THEMES)
    return _THEMES[theme] + _THEME_KINDS[kind]


INDUSTRY_NAMES = len(_INDUSTRIES)
CONCEPT_NAMES = len(_THEMES) * len(_THEME_KINDS)
