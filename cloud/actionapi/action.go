package actionapi

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/account"
)

// action is what is known of an action beside its name.
type action struct {
	// sibling is the operation of the API that does the same; a test holds that both want the same permission.
	sibling string
	need    account.Permission
	// of is the parameter that names the product which the action is about; "" for one that is about none.
	of string
	// filtered is a list that leaves out what is of products that the caller does not have.
	filtered bool
	// change is an action with an entry in the audit log, under object, a path of the API with parameters in it.
	change bool
	object string
	do     func(f *face, ctx context.Context, c *call) (any, error)
}

// Paths of the API, for the audit log.
const (
	productPath = "/v1/products/{ProductSN}"
	devicePath  = productPath + "/devices/{DeviceSN}"
	rulePath    = "/v1/rules/{RuleID}"
)

// read is an action below a product that changes nothing.
func read(sibling string, need account.Permission, do func(*face, context.Context, *call) (any, error)) action {
	return action{sibling: sibling, need: need, of: "ProductSN", do: do}
}

// change is an action below a product that changes what object is the path of.
func change(sibling string, need account.Permission, object string, do func(*face, context.Context, *call) (any, error)) action {
	return action{sibling: sibling, need: need, of: "ProductSN", change: true, object: object, do: do}
}

// ruleChange is an action that changes rules, which are below no product.
func ruleChange(sibling, object string, do func(*face, context.Context, *call) (any, error)) action {
	return action{sibling: sibling, need: account.RuleWrite, change: true, object: object, do: do}
}

// actions are all actions, by name.
var actions = map[string]action{
	"CreateUIoTCoreProduct":  {sibling: "createProduct", need: account.ProductWrite, change: true, object: "/v1/products", do: (*face).createProduct},
	"GetUIoTCoreProductInfo": read("getProduct", account.ProductRead, (*face).getProductInfo),
	"ModifyUIoTCoreProduct":  change("updateProduct", account.ProductWrite, productPath, (*face).modifyProduct),
	"DeleteUIoTCoreProduct":  change("deleteProduct", account.ProductWrite, productPath, (*face).deleteProduct),
	"GetUIoTCoreProductList": {sibling: "listProducts", need: account.ProductRead, filtered: true, do: (*face).getProductList},

	"EnableUIoTCoreDynamicRegister":  change("updateProduct", account.ProductWrite, productPath, (*face).enableDynamicRegister),
	"DisableUIoTCoreDynamicRegister": change("updateProduct", account.ProductWrite, productPath, (*face).disableDynamicRegister),
	"PublishUIoTCoreProduct":         change("publishProduct", account.ProductWrite, productPath, (*face).publishProduct),
	"UnpublishUIoTCoreProduct":       change("unpublishProduct", account.ProductWrite, productPath, (*face).unpublishProduct),

	"CreateUIoTCoreDevice":            change("createDevice", account.DeviceWrite, productPath+"/devices", (*face).createDevice),
	"ModifyUIoTCoreDevice":            change("updateDevice", account.DeviceWrite, devicePath, (*face).modifyDevice),
	"DeleteUIoTCoreDevice":            change("deleteDevice", account.DeviceWrite, devicePath, (*face).deleteDevice),
	"EnableUIoTCoreDevice":            change("enableDevice", account.DeviceWrite, devicePath, (*face).enableDevice),
	"DisableUIoTCoreDevice":           change("disableDevice", account.DeviceWrite, devicePath, (*face).disableDevice),
	"ResetUIoTCoreDevice":             change("resetDevice", account.DeviceWrite, devicePath, (*face).resetDevice),
	"BatchCreateUIoTCoreDevice":       change("createDevices", account.DeviceWrite, productPath+"/devices", (*face).batchCreate),
	"BatchCreateUIoTCoreDeviceWithSN": change("createDevices", account.DeviceWrite, productPath+"/devices", (*face).batchCreateWithSN),
	"BatchDeleteUIoTCoreDevice":       change("deleteDevice", account.DeviceWrite, productPath+"/devices", (*face).batchDelete),
	"BatchEnableUIoTCoreDevice":       change("enableDevice", account.DeviceWrite, productPath+"/devices", (*face).batchEnable),
	"BatchDisableUIoTCoreDevice":      change("disableDevice", account.DeviceWrite, productPath+"/devices", (*face).batchDisable),
	"GetUIoTCoreDeviceList":           read("listDevices", account.DeviceRead, (*face).getDeviceList),
	"GetUIoTCoreDeviceInfo":           read("getDevice", account.DeviceRead, (*face).getDeviceInfo),
	// Whoever may not see secrets has no use for the file.
	"GetUIoTCoreInactivatedDevicePasswordFile": read("listDevices", account.DeviceRead|account.DeviceSecret, (*face).getPasswordFile),

	"CreateUIoTCoreProductTopic":  change("setTopics", account.ProductWrite, productPath+"/topics", (*face).createTopic),
	"ModifyUIoTCoreProductTopic":  change("setTopics", account.ProductWrite, productPath+"/topics", (*face).modifyTopic),
	"DeleteUIoTCoreProductTopic":  change("setTopics", account.ProductWrite, productPath+"/topics", (*face).deleteTopic),
	"GetUIoTCoreProductTopicList": read("getTopics", account.ProductRead, (*face).getTopicList),

	"EnableUIoTCoreDeviceShadow":  change("updateProduct", account.ProductWrite, productPath, (*face).enableShadow),
	"DisableUIoTCoreDeviceShadow": change("updateProduct", account.ProductWrite, productPath, (*face).disableShadow),
	"GetUIoTCoreDeviceShadow":     read("getShadow", account.DeviceRead, (*face).getShadow),
	"UpdateUIoTCoreDeviceShadow":  change("updateShadow", account.DeviceControl, devicePath+"/shadow", (*face).updateShadow),

	"GetUIoTCoreDeviceProperty":    read("getProperties", account.DeviceRead, (*face).getProperty),
	"SetUIoTCoreDeviceProperty":    change("setProperties", account.DeviceControl, devicePath+"/properties", (*face).setProperty),
	"GetUIoTCoreDeviceCommandList": read("listCommands", account.DeviceRead, (*face).getCommandList),
	"SendUIoTCoreDeviceCommand":    change("callCommand", account.DeviceControl, devicePath+"/commands", (*face).sendCommand),
	"GetUIoTCoreDeviceEventList":   read("listEvents", account.DeviceRead, (*face).getEventList),
	"GetUIoTCoreTModelTemplate":    read("getThingModel", account.ProductRead, (*face).getTemplate),

	"PublishUIoTCoreMQTTMessage":   change("publish", account.DeviceControl, productPath+"/devices", (*face).publish),
	"BroadcastUIoTCoreMQTTMessage": change("broadcast", account.DeviceControl, productPath+"/broadcast", (*face).broadcast),

	"AddUIoTCoreSubDeviceTopo": {sibling: "addSubdevices", need: account.DeviceWrite, of: "GWProductSN", change: true,
		object: "/v1/products/{GWProductSN}/devices/{GWDeviceSN}/subdevices", do: (*face).addTopo},
	"DeleteUIoTCoreSubDeviceTopo": {sibling: "removeSubdevice", need: account.DeviceWrite, of: "GWProductSN", change: true,
		object: "/v1/products/{GWProductSN}/devices/{GWDeviceSN}/subdevices", do: (*face).deleteTopo},

	"QueryUIoTCoreDeviceFileList": read("listFiles", account.DeviceRead, (*face).queryFileList),
	"QueryUIoTCoreDeviceFile":     read("getFile", account.DeviceRead, (*face).queryFile),
	"GetUIoTCoreDeviceFileURL":    read("getFileContent", account.DeviceRead, (*face).getFileURL),
	"DeleteUIoTCoreDeviceFile":    change("deleteFile", account.DeviceWrite, devicePath+"/files", (*face).deleteFile),

	"CreateUIoTCoreRule":        ruleChange("createRule", "/v1/rules", (*face).createRule),
	"GetUIoTCoreRuleList":       {sibling: "listRules", need: account.RuleRead, do: (*face).getRuleList},
	"ModifyUIoTCoreRule":        ruleChange("updateRule", rulePath, (*face).modifyRule),
	"DeleteUIoTCoreRule":        ruleChange("deleteRule", rulePath, (*face).deleteRule),
	"EnableUIoTCoreRule":        ruleChange("enableRule", rulePath, (*face).enableRule),
	"DisableUIoTCoreRule":       ruleChange("disableRule", rulePath, (*face).disableRule),
	"CreateUIoTCoreRuleAction":  ruleChange("updateRule", rulePath, (*face).createRuleAction),
	"GetUIoTCoreRuleActionList": {sibling: "getRule", need: account.RuleRead, do: (*face).getRuleActionList},
	"ModifyUIoTCoreRuleAction":  ruleChange("updateRule", rulePath, (*face).modifyRuleAction),
	"DeleteUIoTCoreRuleAction":  ruleChange("updateRule", rulePath, (*face).deleteRuleAction),
}
